output "endpoint" {
  description = "The page to talk to."
  value       = "https://${var.domain}/"
}

output "websocket_urls" {
  description = "The sockets to speak into: packets of any rate, and bare 16 kHz PCM."
  value = {
    transcribe = "wss://${var.domain}/ws/transcribe"
    raw        = "wss://${var.domain}/ws/raw"
  }
}

output "lb_dns_name" {
  description = "What the domain must point to where its DNS is kept elsewhere."
  value       = aws_lb.this.dns_name
}

output "security_group_id" {
  description = "Group of the tasks, for those who let them in."
  value       = aws_security_group.this.id
}

# Apart from the others: workers scale by it, and the gateway's tasks wait for the workers' name.
output "metric_namespace" {
  description = "Where the metrics `Sessions` and `Occupancy` are found."
  value       = local.namespace
}

output "watched" {
  description = "Names under which the gateway's signals are found."
  value = {
    namespace    = local.namespace
    cluster      = aws_ecs_cluster.this.name
    service      = aws_ecs_service.this.name
    lb           = aws_lb.this.arn_suffix
    target_group = aws_lb_target_group.this.arn_suffix
  }
}
