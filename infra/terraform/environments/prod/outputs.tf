output "endpoint" {
  description = "The page to talk to."
  value       = module.gateway.endpoint
}

output "websocket_urls" {
  description = "The sockets to speak into."
  value       = module.gateway.websocket_urls
}

output "worker_url" {
  description = "Where the gateway finds the workers; null where there are none."
  value       = one(module.worker[*].url)
}

output "dashboard" {
  description = "Name of the CloudWatch dashboard."
  value       = module.observability.dashboard
}
