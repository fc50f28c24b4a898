output "vpc_id" {
  description = "The VPC."
  value       = aws_vpc.this.id
}

output "private_subnets" {
  description = "The private subnet of each zone, by zone."
  value       = { for zone, subnet in aws_subnet.private : zone => subnet.id }
}
