output "name" {
  description = "The node pool's name."
  value       = azurerm_kubernetes_cluster_node_pool.this.name
}

output "gpus_per_node" {
  description = "How many nvidia.com/gpu a node offers, shared ones counted as often as they are shared."
  value       = local.machine.gpus * var.sharing.pods
}
