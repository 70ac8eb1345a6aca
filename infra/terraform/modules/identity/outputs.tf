output "gateway_role_arn" {
  description = "Role the gateway's code runs as."
  value       = aws_iam_role.gateway.arn
}

output "start_role_arn" {
  description = "Role with which ECS starts a task."
  value       = aws_iam_role.start.arn
}
