output "log_key_arn" {
  description = "The KMS key for log groups of this environment's name."
  value       = aws_kms_key.logs.arn
}

output "log_group" {
  description = "The log group of the pods."
  value       = aws_cloudwatch_log_group.pods.name
}

output "log_group_arn" {
  description = "The ARN of the pods' log group."
  value       = "${local.logs}:${aws_cloudwatch_log_group.pods.name}"
}

output "prometheus_arn" {
  description = "The managed Prometheus workspace."
  value       = aws_prometheus_workspace.this.arn
}

output "prometheus_endpoint" {
  description = "Where metrics are written to and read from, signed by SigV4; ends in a slash."
  value       = aws_prometheus_workspace.this.prometheus_endpoint
}
