output "gateway_role_arn" {
  description = "Role the gateway's code runs as."
  value       = aws_iam_role.gateway.arn
}

output "start_role_arns" {
  description = "Role with which ECS starts a task, by its kind."
  value       = { for kind, role in aws_iam_role.start : kind => role.arn }
}
