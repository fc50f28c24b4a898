output "name" {
  description = "The node group's name."
  value       = module.nodes.name
}

output "gpus_per_node" {
  description = "How many nvidia.com/gpu a node offers, shared ones counted as often as they are shared."
  value       = local.instances[0].gpus * var.sharing.pods
}

output "pods_see" {
  description = "What decides whether a pod may come here: the nodes' labels and taints, and how many nodes there can be."
  value = {
    labels = module.node.labels
    taints = module.node.taints
    nodes  = var.nodes
    spot   = var.capacity == "spot"
  }
}
