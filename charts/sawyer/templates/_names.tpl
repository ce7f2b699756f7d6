{{/* Names, labels, the image, versions of APIs. */}}

{{- define "sawyer.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 43 | trimSuffix "-" }}
{{- end }}

{{/* Shortened so that the longest suffix and a pod's ordinal still fit into 63 characters. */}}
{{- define "sawyer.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 43 | trimSuffix "-" }}
{{- else if contains (include "sawyer.name" .) .Release.Name }}
{{- .Release.Name | trunc 43 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "sawyer.name" .) | trunc 43 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* Takes (dict "root" $ "component" "agent"), as most of what follows does. */}}
{{- define "sawyer.selector" -}}
app.kubernetes.io/name: {{ include "sawyer.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "sawyer.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{ include "sawyer.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- end }}

{{- define "sawyer.meta" -}}
name: {{ include "sawyer.fullname" .root }}-{{ .component }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "sawyer.labels" . | nindent 2 }}
{{- end }}

{{- define "sawyer.image" -}}
{{- with .Values.image -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{- define "sawyer.serviceAccount" -}}
{{- $account := (index .root.Values .component).serviceAccount }}
{{- if $account.create }}
{{- $account.name | default (printf "%s-%s" (include "sawyer.fullname" .root) .component) }}
{{- else }}
{{- $account.name | default "default" }}
{{- end }}
{{- end }}

{{- define "sawyer.tokenSecret" -}}
{{- .Values.token.existingSecret | default (printf "%s-token" (include "sawyer.fullname" .)) }}
{{- end }}

{{/* "true" or nothing: who is there. */}}
{{- define "sawyer.server.enabled" -}}
{{- if kindIs "bool" .Values.server.enabled }}
{{- if .Values.server.enabled }}true{{ end }}
{{- else if eq .Values.preset "all-in-one" }}true{{ end }}
{{- end }}

{{- define "sawyer.native" -}}
{{- if or (include "sawyer.server.enabled" .) .Values.gateway.enabled }}true{{ end }}
{{- end }}

{{/* A choice of auto, true and false: takes (dict "choice" … "auto" …). */}}
{{- define "sawyer.chosen" -}}
{{- if kindIs "bool" .choice }}{{ if .choice }}true{{ end }}{{ else if .auto }}true{{ end }}
{{- end }}

{{- define "sawyer.policy.apiVersion" -}}
{{- if and (.Capabilities.APIVersions.Has "policy/v1") (semverCompare ">=1.21-0" .Capabilities.KubeVersion.Version) -}}
policy/v1
{{- else -}}
policy/v1beta1
{{- end }}
{{- end }}

{{/* Who reads the cluster's events: `server`, `agent` or nothing. */}}
{{- define "sawyer.events.component" -}}
{{- if .Values.events.enabled }}
{{- $server := include "sawyer.server.enabled" . }}
{{- if and $server (or (eq .Values.events.from "server") (not .Values.agent.enabled) (and (eq .Values.events.from "auto") (eq .Values.preset "all-in-one"))) }}server
{{- else if eq .Values.events.from "server" }}
{{- fail "\n\nevents.from: there is no server in this release; `agent` or `auto` is possible" }}
{{- else if .Values.agent.enabled }}agent
{{- end }}
{{- end }}
{{- end }}

{{/* "true" or nothing: whether the pods of a part ask the API server. */}}
{{- define "sawyer.asks" -}}
{{- if or (eq .component (include "sawyer.events.component" .root)) (and (eq .component "agent") (include "sawyer.agent.asks" .root)) }}true{{ end }}
{{- end }}

{{/* Something if the agent asks the cluster about the pods whose logs it reads. */}}
{{- define "sawyer.agent.asks" -}}
{{- $collect := .Values.agent.collect }}
{{- if and .Values.agent.enabled $collect.containers $collect.metadata }}true{{ end }}
{{- end }}

{{/* Something if it asks the kubelet. */}}
{{- define "sawyer.agent.asksKubelet" -}}
{{- if and (include "sawyer.agent.asks" .) (eq .Values.agent.collect.metadataFrom "kubelet") }}true{{ end }}
{{- end }}

{{/* What it may get of nodes for that: kubelets ask for the finer right since Kubernetes 1.33 (KubeletFineGrainedAuthz). */}}
{{- define "sawyer.agent.kubeletRight" -}}
{{- .Values.agent.kubelet.right | default (ternary "pods" "proxy" (semverCompare ">=1.33.0-0" .Capabilities.KubeVersion.Version)) }}
{{- end }}

{{- /* Ports of receivers, each with its name, number and protocol: `4318`, `5514/udp`, `5514/tcp+udp`. */}}
{{- define "sawyer.receivers" -}}
{{- $ports := list -}}
{{- range $name, $value := . -}}
{{- $parts := splitList "/" (ternary $value (printf "%d/tcp" (int $value)) (kindIs "string" $value)) -}}
{{- range $at, $protocol := splitList "+" (index $parts 1) -}}
{{- $own := ternary $name (printf "%s-%s" $name $protocol) (eq $at 0) -}}
{{- if gt (len $own) 15 -}}
{{- fail (printf "receivers: the port `%s` would have a name of more than 15 letters; choose a shorter one" $own) -}}
{{- end -}}
{{- $ports = append $ports (dict "name" $own "port" (int (index $parts 0)) "protocol" (upper $protocol)) -}}
{{- end -}}
{{- end -}}
{{- toJson (dict "ports" $ports) -}}
{{- end -}}
