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

{{/* The namespace of every object. */}}
{{- define "prestop.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{/* By these objects find the pods; nothing changes them. */}}
{{- define "prestop.selectorLabels" -}}
app.kubernetes.io/name: {{ include "prestop.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{/* Labels of an object. */}}
{{- define "prestop.labels" -}}
{{- include "prestop.labelsWith" (dict "root" .) }}
{{- end }}

{{/*
Labels of an object: the chart's, `commonLabels`, `more`, `fixed`. Of a key that occurs more than once the
last one is taken, so that no key occurs twice in the output.
*/}}
{{- define "prestop.labelsWith" -}}
{{- $own := dict
  "app.kubernetes.io/version" .root.Chart.AppVersion
  "app.kubernetes.io/component" "webhook"
  "app.kubernetes.io/managed-by" .root.Release.Service
  "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") }}
{{- $selector := include "prestop.selectorLabels" .root | fromYaml }}
{{- include "prestop.merged" (list $own .root.Values.commonLabels .more $selector .fixed) }}
{{- end }}

{{/* Maps as one: of a key that occurs more than once the last one is taken. */}}
{{- define "prestop.merged" -}}
{{- $all := dict }}
{{- range . }}
{{- $all = mergeOverwrite $all (deepCopy (default dict .)) }}
{{- end }}
{{- toYaml $all }}
{{- end }}

{{/* A value as text; nothing where it is null. Unlike `default`, it keeps 0. */}}
{{- define "prestop.text" -}}
{{- if not (kindIs "invalid" .) }}{{ toString . }}{{ end }}
{{- end }}

{{- define "prestop.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "prestop.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* The image; `global.imageRegistry` takes the place of its registry. */}}
{{- define "prestop.image" -}}
{{- $repository := .Values.image.repository }}
{{- with (.Values.global).imageRegistry }}
{{- $path := regexReplaceAll "^([^/]*[.:][^/]*|localhost)/" $repository "" }}
{{- $repository = printf "%s/%s" (trimSuffix "/" .) $path }}
{{- end }}
{{- if .Values.image.digest }}
{{- printf "%s@%s" $repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{/* Those of `global` and the chart's own. */}}
{{- define "prestop.imagePullSecrets" -}}
{{- $secrets := list }}
{{- range concat (default list (.Values.global).imagePullSecrets) (default list .Values.imagePullSecrets) }}
{{- $secrets = append $secrets (ternary (dict "name" .) . (kindIs "string" .)) }}
{{- end }}
{{- with uniq $secrets }}{{ toYaml . }}{{ end }}
{{- end }}

{{/*
OpenShift assigns each namespace its own users, and its SCC restricted-v2 refuses other ones: the chart's
default numbers are left out there. Numbers of yours are kept.
*/}}
{{- define "prestop.podSecurityContext" -}}
{{- $context := deepCopy (default dict .Values.podSecurityContext) }}
{{- if .Capabilities.APIVersions.Has "security.openshift.io/v1" }}
{{- range list "runAsUser" "runAsGroup" }}
{{- if eq (int (get $context .)) 65532 }}{{ $_ := unset $context . }}{{ end }}
{{- end }}
{{- end }}
{{- if not ($context.seccompProfile).type }}{{ $_ := unset $context "seccompProfile" }}{{ end }}
{{- with $context }}{{ toYaml . }}{{ end }}
{{- end }}

{{/* What a port is written behind: nothing is every address, IPv4 and IPv6. */}}
{{- define "prestop.listenAddress" -}}
{{- $address := default "" .Values.listenAddress }}
{{- ternary (printf "[%s]" $address) $address (and (contains ":" $address) (not (hasPrefix "[" $address))) }}
{{- end }}

{{/* Whether pods talk to the API server; empty is no. */}}
{{- define "prestop.usesCluster" -}}
{{- if or .Values.namespaces.watch .Values.fronts.watch (eq .Values.certificates.mode "self-managed") }}yes{{ end }}
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
{{- $config := deepCopy (default dict .Values.config) }}
{{- $defaults := default dict $config.defaults }}
{{- if and .Values.fronts.watch (kindIs "map" $defaults) }}
{{- $_ := set $config "defaults" (merge (dict "delay" (default "auto" $defaults.delay)) $defaults) }}
{{- end }}
{{- with $config }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Whether an object of the Prometheus operator is rendered; empty is no. Given a dict of root and values. */}}
{{- define "prestop.rendersMonitoring" -}}
{{- if .values.enabled }}
{{- $isThere := .root.Capabilities.APIVersions.Has "monitoring.coreos.com/v1" }}
{{- if or $isThere (eq (toString .values.renderMode) "alwaysRender") }}yes
{{- else if eq (toString .values.renderMode) "failIfMissing" }}
{{- fail (printf "%s.enabled: the kinds of the Prometheus operator (monitoring.coreos.com/v1) are not installed. Install it, or set %s.renderMode to skipIfMissing." .name .name) }}
{{- end }}
{{- end }}
{{- end }}
