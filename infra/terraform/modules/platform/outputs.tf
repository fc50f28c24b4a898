# For infra/k8s: `terraform output -raw settings_env > infra/k8s/overlays/prod/settings.env`.
output "settings_env" {
  description = "What the Kubernetes overlays must know of this environment, as NAME=value lines."
  value = join("", [for name, value in merge(
    {
      AWS_REGION          = var.region
      CLUSTER_NAME        = module.cluster.name
      KAFKA_BOOTSTRAP     = module.kafka.bootstrap
      PROMETHEUS_ENDPOINT = module.observability.prometheus_endpoint
      LOG_GROUP           = module.observability.log_group
      HEADWATER_OBJECTS   = "s3://${module.object_store.buckets.claims}"
    },
    { for purpose, bucket in module.object_store.buckets : "BUCKET_${upper(purpose)}" => bucket },
    { for role, arn in module.identity.role_arns : "ROLE_${upper(role)}" => arn },
  ) : "${name}=${value}\n"])
}

output "cluster_name" {
  description = "For `aws eks update-kubeconfig --name`."
  value       = module.cluster.name
}

output "gpus_per_node" {
  description = "How many nvidia.com/gpu a node of each GPU group offers."
  value       = { for name, group in module.gpu_pool : name => group.gpus_per_node }
}

output "gpu_pools" {
  description = "What decides whether a pod may come to each GPU group: labels, taints, counts, and whether it may be taken away."
  value       = { for name, group in module.gpu_pool : name => group.pods_see }
}
