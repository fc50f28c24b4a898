output "name" {
  description = "The cluster's name."
  value       = aws_eks_cluster.this.name
}

output "kubernetes_version" {
  description = "The cluster's version, for the nodes of other modules."
  value       = aws_eks_cluster.this.version
}

output "node_role_arn" {
  description = "The role that nodes join with; known once nodes may join."
  value       = aws_iam_role.node.arn
  depends_on  = [aws_eks_addon.network, aws_eks_addon.proxy, aws_iam_role_policy_attachment.node]
}

output "issuer" {
  description = "The cluster's OpenID Connect issuer without its scheme, as trust policies name it."
  value       = local.issuer
}

output "issuer_arn" {
  description = "The identity provider that stands for the issuer."
  value       = aws_iam_openid_connect_provider.this.arn
}

output "security_group_id" {
  description = "The group of all nodes, for what lets them in (MSK)."
  value       = aws_eks_cluster.this.vpc_config[0].cluster_security_group_id
}
