{{/* The chart's name, as in labels. */}}
{{- define "prestop.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The name of every object. At most 53 characters, so that suffixes fit. */}}
{{- define "prestop.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 53 | trimSuffix "-" }}
{{- else }}
{{- $name := include "prestop.name" . }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 53 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 53 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "prestop.selectorLabels" -}}
app.kubernetes.io/name: {{ include "prestop.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "prestop.labels" -}}
{{ include "prestop.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: webhook
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "prestop.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "prestop.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "prestop.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{/* Whether pods talk to the API server; empty is no. */}}
{{- define "prestop.usesCluster" -}}
{{- if or .Values.namespaces.watch (eq .Values.certificates.mode "self-managed") }}yes{{ end }}
{{- end }}

{{- define "prestop.tlsSecretName" -}}
{{- if eq .Values.certificates.mode "secret" }}
{{- .Values.certificates.secret.name }}
{{- else }}
{{- printf "%s-tls" (include "prestop.fullname" .) }}
{{- end }}
{{- end }}

{{/* The configuration file. */}}
{{- define "prestop.configuration" -}}
apiVersion: prestop.dev/v1alpha1
kind: Configuration
{{- with .Values.config }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Whether an object of the Prometheus operator is rendered; empty is no. Given a dict of root and values. */}}
{{- define "prestop.rendersMonitoring" -}}
{{- if .values.enabled }}
{{- $isThere := .root.Capabilities.APIVersions.Has "monitoring.coreos.com/v1" }}
{{- if or $isThere (eq .values.renderMode "alwaysRender") }}yes
{{- else if eq .values.renderMode "failIfMissing" }}
{{- fail (printf "%s.enabled: the kinds of the Prometheus operator (monitoring.coreos.com/v1) are not installed. Install it, or set %s.renderMode to skipIfMissing." .name .name) }}
{{- end }}
{{- end }}
{{- end }}
