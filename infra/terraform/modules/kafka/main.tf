# Where Kafka runs. Strimzi's brokers (infra/k8s/base/kafka) stand among the general nodes or, with the component kafka-nodes,
# on nodes of their own; Amazon MSK takes their place.

locals {
  msk = var.hosting == "msk"
}

# A group of its own per zone, for a broker's volume stays in one, and of a fixed size, for brokers are not scaled by load.
module "nodes" {
  source             = "../node_group"
  for_each           = var.hosting == "nodes" ? var.subnets : {}
  cluster_name       = var.cluster_name
  kubernetes_version = var.kubernetes_version
  name               = "kafka-${each.key}"
  node_role_arn      = var.node_role_arn
  subnet_ids         = [each.value]
  instance_types     = [var.instance_type]
  nodes              = { min = var.brokers_per_zone, initial = var.brokers_per_zone, max = var.brokers_per_zone }
  disk_gib           = 50
  labels             = { "headwater.dev/pool" = "kafka" }
  # A broker shares its disk and network with no one.
  taints = [{ key = "headwater.dev/pool", value = "kafka", effect = "NoSchedule" }]
}
