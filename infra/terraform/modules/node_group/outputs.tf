output "name" {
  description = "The group's name."
  value       = aws_eks_node_group.this.node_group_name
}

output "group" {
  description = "The group as EKS has it: counts, labels, taints."
  value       = aws_eks_node_group.this
}

output "user_data" {
  description = "The settings that a node starts with, in base64."
  value       = aws_launch_template.this.user_data
}

output "extended_resources" {
  description = "What the autoscaler is told of a node, by resource."
  value       = { for resource, tag in aws_autoscaling_group_tag.resource : resource => one(tag.tag).value }
}
