output "url" {
  description = "Where the gateway finds the workers; the name answers with the addresses of those that run."
  value       = "http://${aws_service_discovery_service.this.name}.${aws_service_discovery_private_dns_namespace.this.name}:${var.port}/v1"
}

output "port" {
  description = "Port the workers listen on."
  value       = var.port
}

output "watched" {
  description = "Names under which the workers' signals are found."
  value = {
    cluster = aws_ecs_cluster.this.name
    service = aws_ecs_service.this.name
  }
}
