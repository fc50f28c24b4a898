output "labels" {
  description = "The node's labels."
  value       = local.labels
}

output "taints" {
  description = "The node's taints, with effects as Kubernetes spells them."
  value       = local.taints
}

output "sharing" {
  description = "The mode, and how many pods share one GPU, as checked."
  value       = var.sharing
}
