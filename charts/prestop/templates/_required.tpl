{{/*
Values that must not be null, because prestop can't be installed without them. For other values null
means empty or off.
*/}}
{{- define "prestop.required" -}}
{{- $paths := list
  "image" "image.repository"
  "webhook" "webhook.failurePolicy" "webhook.timeoutSeconds" "webhook.reinvocationPolicy" "webhook.namespaceSelector"
  "certificates" "certificates.mode" "certificates.certManager" "certificates.secret"
  "namespaces" "namespaces.watch" "fronts" "fronts.watch"
  "securePort" "adminPort" "terminationGracePeriodSeconds"
  "serviceAccount" "serviceAccount.create" "rbac" "rbac.create" }}
{{- range $path := $paths }}
{{- $value := $.Values }}
{{- range splitList "." $path }}{{ $value = get $value . }}{{ end }}
{{- if has (printf "%v" $value) (list "<nil>" "") }}
{{- fail (printf "%s is null, but prestop can't be installed without it. Remove it to use the chart's default." $path) }}
{{- end }}
{{- end }}
{{- end }}
