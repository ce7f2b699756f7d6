{{/* What the pods of all roles have in common. Each takes (dict "root" $ "component" "agent"). */}}

{{- define "sawyer.pod.meta" -}}
{{- $role := index .root.Values .component }}
annotations:
  kubectl.kubernetes.io/default-container: {{ .component }}
  {{- /* Inputs, pipelines and outputs change in a running process; whatever else changes restarts it. */}}
  {{- $config := include (printf "sawyer.%s.config" .component) .root | fromYaml }}
  checksum/config: {{ omit $config "inputs" "pipelines" "outputs" "drain" | toYaml | sha256sum }}
  {{- with $role.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
labels:
  {{- /* Not the version of the chart: a new one that changes nothing restarts nothing. */}}
  {{- include "sawyer.selector" . | nindent 2 }}
  {{- with $role.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "sawyer.pod.common" -}}
{{- $role := index .root.Values .component }}
serviceAccountName: {{ include "sawyer.serviceAccount" . }}
automountServiceAccountToken: {{ eq (include "sawyer.asks" .) "true" }}
enableServiceLinks: false
terminationGracePeriodSeconds: {{ $role.terminationGracePeriodSeconds }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  {{- toYaml $role.podSecurityContext | nindent 2 }}
{{- with $role.dnsPolicy }}
dnsPolicy: {{ . }}
{{- end }}
{{- with $role.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $role.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $role.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $role.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "sawyer.container.common" -}}
{{- $role := index .root.Values .component }}
name: {{ .component }}
image: {{ include "sawyer.image" .root }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
args: [{{ .component }}, --config, /etc/sawyer/config/sawyer.yaml]
env:
  - name: NODE_NAME
    valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
  - name: POD_NAME
    valueFrom: {fieldRef: {fieldPath: metadata.name}}
  - name: POD_NAMESPACE
    valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
  {{- if and (eq .component "agent") (include "sawyer.agent.asksKubelet" .root) }}
  - name: NODE_IP
    valueFrom: {fieldRef: {fieldPath: status.hostIP}}
  {{- end }}
  {{- /* The image has two arenas of memory. With one an agent holds 10 MiB less when its target is away, and is as fast. */}}
  {{- if eq .component "agent" }}
  - name: GLIBC_TUNABLES
    value: glibc.malloc.arena_max=1:glibc.malloc.mmap_threshold=8388608:glibc.malloc.trim_threshold=8388608
  {{- end }}
  {{- with $role.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- $aws := and (eq .root.Values.preset "cloudwatch") .root.Values.cloudwatch.existingSecret (include "sawyer.sends" .) }}
{{- if or $aws $role.extraEnvFrom }}
envFrom:
  {{- if $aws }}
  - secretRef: {name: {{ .root.Values.cloudwatch.existingSecret }}}
  {{- end }}
  {{- with $role.extraEnvFrom }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
ports:
  - {name: http, containerPort: 7280, protocol: TCP}
  {{- range (include "sawyer.receivers" $role.receivers | fromJson).ports }}
  - {name: {{ .name }}, containerPort: {{ int .port }},{{ if eq $.component "agent" }} hostPort: {{ int .port }},{{ end }} protocol: {{ .protocol }}}
  {{- end }}
livenessProbe:
  httpGet: {path: /healthz, port: http}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: http}
  periodSeconds: 5
  timeoutSeconds: 5
startupProbe:
  httpGet: {path: /healthz, port: http}
  periodSeconds: 2
  timeoutSeconds: 2
  # Ten minutes: a log of the last minutes may have to be read again first.
  failureThreshold: 300
securityContext:
  {{- toYaml $role.securityContext | nindent 2 }}
resources:
  {{- toYaml $role.resources | nindent 2 }}
{{- end }}

{{/* "true" where this role speaks to the preset's target itself. */}}
{{- define "sawyer.sends" -}}
{{- if eq .component (ternary "gateway" "agent" .root.Values.gateway.enabled) }}true{{ end }}
{{- end }}

{{- define "sawyer.mounts.common" -}}
{{- $role := index .root.Values .component }}
- {name: config, mountPath: /etc/sawyer/config, readOnly: true}
- {name: data, mountPath: /var/lib/sawyer}
- {name: tmp, mountPath: /tmp}
{{- if include "sawyer.native" .root }}
- {name: token, mountPath: /etc/sawyer/token, readOnly: true}
{{- end }}
{{- if include "sawyer.sends" . }}
{{- if include "sawyer.target.secret" .root }}
- {name: target, mountPath: /etc/sawyer/target, readOnly: true}
{{- end }}
{{- if .root.Values.tls.existingSecret }}
- {name: tls, mountPath: /etc/sawyer/tls, readOnly: true}
{{- end }}
{{- end }}
{{- with $role.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Folders, not single files, are mounted, so that a change arrives in a running pod. */}}
{{- define "sawyer.volumes.common" -}}
{{- $role := index .root.Values .component }}
- name: config
  configMap: {name: {{ include "sawyer.fullname" .root }}-{{ .component }}}
- name: tmp
  emptyDir: {}
{{- if include "sawyer.native" .root }}
- name: token
  secret: {secretName: {{ include "sawyer.tokenSecret" .root }}, defaultMode: 288}
{{- end }}
{{- if include "sawyer.sends" . }}
{{- with include "sawyer.target.secret" .root }}
- name: target
  secret: {secretName: {{ . }}, defaultMode: 288}
{{- end }}
{{- with .root.Values.tls.existingSecret }}
- name: tls
  secret: {secretName: {{ . }}, defaultMode: 288}
{{- end }}
{{- end }}
{{- with $role.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The volume `data` of a StatefulSet, as a claim template or in the pod. */}}
{{- define "sawyer.claim" -}}
{{- $persistence := (index .root.Values .component).persistence }}
metadata:
  name: data
  {{- with $persistence.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  accessModes: {{ toJson $persistence.accessModes }}
  {{- with $persistence.storageClass }}
  storageClassName: {{ ternary "" . (eq . "-") | quote }}
  {{- end }}
  resources:
    requests: {storage: {{ $persistence.size }}}
{{- end }}
