{{/* A release called hotgraph-a gives hotgraph-a, one called a gives a-hotgraph. 54: of 63 that a name may have,
-headless takes 9. */}}
{{- define "hotgraph.name" -}}
{{- if contains "hotgraph" .Release.Name -}}
{{- .Release.Name | trunc 54 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-hotgraph" .Release.Name | trunc 54 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What tells the pods of this release from others. */}}
{{- define "hotgraph.selector" -}}
app.kubernetes.io/name: hotgraph
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "hotgraph.labels" -}}
{{ include "hotgraph.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Of both autoscalers; deploy/kubernetes/horizontalpodautoscaler.yaml says why. */}}
{{- define "hotgraph.behavior" -}}
scaleUp:
  stabilizationWindowSeconds: 0
  policies:
    - type: Percent
      value: 100
      periodSeconds: 60
scaleDown:
  stabilizationWindowSeconds: 300
  policies:
    - type: Pods
      value: 1
      periodSeconds: 60
{{- end -}}
