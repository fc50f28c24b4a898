output "role_arns" {
  description = "Each role's ARN, by its name in the table."
  value       = { for name, role in aws_iam_role.this : name => role.arn }
}

output "accounts" {
  description = "Whose role each is: the namespace and the service account."
  value       = { for name, role in local.roles : name => role.account }
}
