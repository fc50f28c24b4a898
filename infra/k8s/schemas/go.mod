// Nothing is compiled: these modules carry the schemas that their makers publish. `go mod download` fetches them.
module headwater/infra/k8s/schemas

go 1.25.11

require (
	github.com/cert-manager/cert-manager v1.18.2
	github.com/external-secrets/external-secrets v0.20.4
	github.com/kedacore/keda/v2 v2.17.2
	github.com/prometheus-operator/prometheus-operator v0.83.0
	github.com/zilliztech/milvus-operator v1.3.7
	k8s.io/kubernetes v1.32.9
)
