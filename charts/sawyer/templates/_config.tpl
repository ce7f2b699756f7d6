{{/* The sawyer.yaml of each role, made of values. */}}

{{/* The kind of the preset's output, or nothing. */}}
{{- define "sawyer.target.kind" -}}
{{- if has .Values.preset (list "elasticsearch" "opensearch" "loki" "kafka") }}{{ .Values.preset }}
{{- else if eq .Values.preset "cloudwatch" }}cloudwatch_logs
{{- end }}
{{- end }}

{{/* The Secret with the credentials for the target, mounted at /etc/sawyer/target, or nothing. */}}
{{- define "sawyer.target.secret" -}}
{{- if has .Values.preset (list "elasticsearch" "opensearch") }}{{ .Values.elasticsearch.auth.existingSecret }}
{{- else if eq .Values.preset "loki" }}{{ .Values.loki.auth.existingSecret }}
{{- else if eq .Values.preset "kafka" }}{{ .Values.kafka.sasl.existingSecret }}
{{- end }}
{{- end }}

{{- define "sawyer.target.tls" -}}
{{- if .Values.tls.existingSecret }}
tls:
  ca_file: /etc/sawyer/tls/ca.crt
  {{- if .Values.tls.clientCertificate }}
  cert_file: /etc/sawyer/tls/tls.crt
  key_file: /etc/sawyer/tls/tls.key
  {{- end }}
{{- end }}
{{- end }}

{{/* How Sawyer says who it is: takes (dict "at" "elasticsearch" "auth" …). */}}
{{- define "sawyer.target.auth" -}}
{{- $auth := .auth }}
{{- if and (ne $auth.type "none") (ne $auth.type "aws") (not $auth.existingSecret) }}
{{- fail (printf "\n\n%s.auth.existingSecret: the name of a Secret is needed for %s.auth.type=%s" .at .at $auth.type) }}
{{- end }}
{{- if eq $auth.type "basic" }}
auth:
  type: basic
  user: {{ required (printf "\n\n%s.auth.user: needed for %s.auth.type=basic" .at .at) $auth.user | quote }}
  password_file: /etc/sawyer/target/password
{{- else if eq $auth.type "api_key" }}
auth: {type: api_key, key_file: /etc/sawyer/target/api_key}
{{- else if eq $auth.type "bearer" }}
auth: {type: bearer, token_file: /etc/sawyer/target/token}
{{- else if eq $auth.type "aws" }}
auth:
  type: aws
  service: {{ $auth.service }}
  {{- with $auth.region }}
  region: {{ . | quote }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "sawyer.target.elasticsearch" -}}
{{- with .Values.elasticsearch }}
endpoint: {{ required (printf "\n\nelasticsearch.endpoint: needed for preset=%s, such as https://elasticsearch.logging:9200" $.Values.preset) .endpoint | quote }}
{{- with .index }}
index: {{ . | quote }}
{{- end }}
{{- with .template }}
template: {{ . }}
{{- end }}
{{- include "sawyer.target.auth" (dict "at" "elasticsearch" "auth" .auth) }}
{{- end }}
{{- include "sawyer.target.tls" . }}
{{- end }}

{{- define "sawyer.target.cloudwatch" -}}
{{- with .Values.cloudwatch }}
{{- with .region }}
region: {{ . | quote }}
{{- end }}
{{- with .group }}
group: {{ . | quote }}
{{- end }}
{{- with .stream }}
stream: {{ . | quote }}
{{- end }}
{{- with .retentionDays }}
retention_days: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{- define "sawyer.target.loki" -}}
{{- with .Values.loki }}
endpoint: {{ required "\n\nloki.endpoint: needed for preset=loki, such as http://loki-gateway.loki" .endpoint | quote }}
{{- with .tenant }}
tenant: {{ . | quote }}
{{- end }}
{{- with .labels }}
labels: {{ toJson . }}
{{- end }}
{{- include "sawyer.target.auth" (dict "at" "loki" "auth" .auth) }}
{{- end }}
{{- include "sawyer.target.tls" . }}
{{- end }}

{{- define "sawyer.target.kafka" -}}
{{- with .Values.kafka }}
{{- if not .brokers }}
{{- fail "\n\nkafka.brokers: needed for preset=kafka, such as {kafka-0.kafka:9092,kafka-1.kafka:9092}" }}
{{- end }}
brokers: {{ toJson .brokers }}
{{- with .topic }}
topic: {{ . | quote }}
{{- end }}
{{- if ne .sasl.mechanism "none" }}
sasl:
  mechanism: {{ .sasl.mechanism }}
  user: {{ required (printf "\n\nkafka.sasl.user: needed for kafka.sasl.mechanism=%s" .sasl.mechanism) .sasl.user | quote }}
  {{- if not .sasl.existingSecret }}
  {{- fail (printf "\n\nkafka.sasl.existingSecret: the name of a Secret is needed for kafka.sasl.mechanism=%s" .sasl.mechanism) }}
  {{- end }}
  password_file: /etc/sawyer/target/password
{{- end }}
{{- if and .tls (not $.Values.tls.existingSecret) }}
tls: {}
{{- end }}
{{- end }}
{{- include "sawyer.target.tls" . }}
{{- end }}

{{/* Where records go that are not for a Sawyer of this release: takes (dict "root" $ "buffer" …). */}}
{{- define "sawyer.outputs.target" -}}
{{- with include "sawyer.target.kind" .root }}
{{- $settings := include (printf "sawyer.target.%s" (. | replace "opensearch" "elasticsearch" | replace "cloudwatch_logs" "cloudwatch")) $.root | fromYaml }}
{{- if $.buffer }}{{ $_ := set $settings "buffer" $.buffer }}{{ end }}
{{ . }}:
  {{- toYaml $settings | nindent 2 }}
{{- end }}
{{- end }}

{{/* The output to a Sawyer of this release: takes (dict "root" $ "to" "server" "buffer" …). */}}
{{- define "sawyer.outputs.native" -}}
sawyer:
  endpoint: http://{{ include "sawyer.fullname" .root }}-{{ .to }}.{{ .root.Release.Namespace }}:{{ (index .root.Values .to).service.port }}
  token_file: /etc/sawyer/token/token
  {{- with .buffer }}
  buffer:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{/* How long a stop may take to pass on what was read: the pod's grace period, less what ending itself takes; an hour at most. */}}
{{- define "sawyer.drain" -}}
{{ min 3600 (max 0 (sub (int .terminationGracePeriodSeconds) 5)) }}s
{{- end }}

{{- define "sawyer.agent.config" -}}
{{- $agent := .Values.agent }}
{{- $inputs := dict }}
{{- $common := dict }}
{{- with .Values.cluster }}{{ $_ := set $common "cluster" . }}{{ end }}
{{- if or $agent.collect.containers $agent.collect.docker }}
{{- $containers := merge (dict "exclude" (concat (list "${POD_NAMESPACE}/${POD_NAME}") $agent.exclude)) $common }}
{{- if not $agent.collect.containers }}{{ $_ := set $containers "pods" nil }}{{ $_ := set $containers "links" nil }}{{ end }}
{{- if not $agent.collect.docker }}{{ $_ := set $containers "docker" nil }}{{ else if ne $agent.dockerHostPath "/var/lib/docker/containers" }}{{ $_ := set $containers "docker" $agent.dockerHostPath }}{{ end }}
{{- $kubernetes := dict }}
{{- if not (include "sawyer.agent.asks" .) }}{{ $_ := set $kubernetes "from" "nobody" }}
{{- else if $agent.collect.namespaceLabels }}{{ $_ := set $kubernetes "namespace_labels" $agent.collect.namespaceLabels }}{{ end }}
{{- if include "sawyer.agent.asksKubelet" . }}
{{- $_ := set $kubernetes "from" "kubelet" }}
{{- if not $agent.kubelet.verifyCertificate }}{{ $_ := set $kubernetes "verify_kubelet" false }}{{ end }}
{{- end }}
{{- if $kubernetes }}{{ $_ := set $containers "kubernetes" $kubernetes }}{{ end }}
{{- if $agent.collect.podFiles }}{{ $_ := set $containers "pod_files" (printf "%s/pods" (trimSuffix "/" $agent.kubeletHostPath)) }}{{ end }}
{{- $_ := set $inputs "containers" $containers }}
{{- end }}
{{- if $agent.collect.journal }}{{ $_ := set $inputs "journal" (deepCopy $common) }}{{ end }}
{{- if $agent.collect.files }}{{ $_ := set $inputs "files" (deepCopy $common) }}{{ end }}
{{- if $agent.collect.audit }}
{{- $audit := list "/var/log/kubernetes/audit/*.log" "/var/log/kubernetes/*audit*.log" "/var/log/kube-apiserver/audit*.log" "/var/log/audit/kube/*.log" }}
{{- $_ := set $inputs "audit" (merge (dict "type" "files" "include" $audit) (deepCopy $common)) }}
{{- end }}
{{- if eq (include "sawyer.events.component" .) "agent" }}{{ $_ := set $inputs "kubernetes_events" (include "sawyer.inputs.events" . | fromYaml) }}{{ end }}
{{- $outputs := dict }}
{{- if .Values.gateway.enabled }}
{{- $outputs = include "sawyer.outputs.native" (dict "root" . "to" "gateway" "buffer" $agent.buffer) | fromYaml }}
{{- else }}
{{- $outputs = include "sawyer.outputs.target" (dict "root" . "buffer" $agent.buffer) | fromYaml }}
{{- if include "sawyer.server.enabled" . }}
{{- $outputs = merge $outputs (include "sawyer.outputs.native" (dict "root" . "to" "server" "buffer" $agent.buffer) | fromYaml) }}
{{- end }}
{{- end }}
{{- $config := dict "data" "/var/lib/sawyer" "listen" "0.0.0.0:7280" "host_root" "/host" "log" $agent.log "drain" (include "sawyer.drain" $agent | trim) "inputs" $inputs "outputs" $outputs }}
{{- with $agent.steps }}{{ $_ := set $config "pipelines" (dict "main" (dict "steps" .)) }}{{ end }}
{{- $config = mergeOverwrite $config (deepCopy $agent.config) }}
{{- if not $config.outputs }}
{{- fail "\n\nagent.config.outputs: needed for preset=custom without a server, such as {elasticsearch: {endpoint: https://elastic:9200}}" }}
{{- end }}
{{- toYaml $config }}
{{- end }}

{{- define "sawyer.gateway.config" -}}
{{- $gateway := .Values.gateway }}
{{- $outputs := include "sawyer.outputs.target" (dict "root" . "buffer" $gateway.buffer) | fromYaml }}
{{- if include "sawyer.server.enabled" . }}
{{- $outputs = merge $outputs (include "sawyer.outputs.native" (dict "root" . "to" "server" "buffer" $gateway.buffer) | fromYaml) }}
{{- end }}
{{- $config := dict "data" "/var/lib/sawyer" "listen" "0.0.0.0:7280" "log" $gateway.log "drain" (include "sawyer.drain" $gateway | trim) "inputs" (include "sawyer.inputs.native" . | fromYaml) "outputs" $outputs }}
{{- with $gateway.steps }}{{ $_ := set $config "pipelines" (dict "main" (dict "steps" .)) }}{{ end }}
{{- toYaml (mergeOverwrite $config (deepCopy $gateway.config)) }}
{{- end }}

{{- define "sawyer.server.config" -}}
{{- $server := .Values.server }}
{{- $inputs := include "sawyer.inputs.native" . | fromYaml }}
{{- if eq (include "sawyer.events.component" .) "server" }}{{ $_ := set $inputs "kubernetes_events" (include "sawyer.inputs.events" . | fromYaml) }}{{ end }}
{{- $config := dict "data" "/var/lib/sawyer" "listen" "0.0.0.0:7280" "log" $server.log "drain" (include "sawyer.drain" $server | trim) "inputs" $inputs "outputs" (dict "store" (dict)) "store" (dict "retention" $server.retention) }}
{{- $url := $server.publicUrl }}
{{- if and (not $url) $server.ingress.enabled $server.ingress.hosts }}
{{- $url = printf "%s://%s" (ternary "https" "http" (not (empty $server.ingress.tls))) (first $server.ingress.hosts) }}
{{- end }}
{{- with $url }}{{ $_ := set $config "alerts" (dict "public_url" .) }}{{ end }}
{{- toYaml (mergeOverwrite $config (deepCopy $server.config)) }}
{{- end }}

{{/* The cluster's events. The Lease is named after the release. */}}
{{- define "sawyer.inputs.events" -}}
lease: {{ include "sawyer.fullname" . }}-events
{{- with .Values.cluster }}
cluster: {{ . | quote }}
{{- end }}
{{- end }}

{{/* What a server or a gateway listens to: agents with their token, and whoever posts JSON lines. */}}
{{- define "sawyer.inputs.native" -}}
sawyer:
  token_file: /etc/sawyer/token/token
ingest:
  type: push
{{- end }}
