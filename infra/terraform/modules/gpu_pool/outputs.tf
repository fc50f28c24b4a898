output "name" {
  description = "The node group's name."
  value       = module.nodes.name
}

output "gpus_per_node" {
  description = "How many nvidia.com/gpu a node offers, shared ones counted as often as they are shared."
  value       = local.instances[0].gpus * var.sharing.pods
}
