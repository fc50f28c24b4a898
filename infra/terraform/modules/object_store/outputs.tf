output "buckets" {
  description = "The buckets' names, by purpose: claims, milvus, backups, models."
  value       = local.buckets
}

output "arns" {
  description = "The buckets' ARNs, by purpose."
  value       = local.arns
}

output "key_arn" {
  description = "The KMS key that encrypts all objects."
  value       = aws_kms_key.this.arn
}
