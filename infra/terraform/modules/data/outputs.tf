output "secrets" {
  description = "Setting of the gateway, and the ARN of the secret that holds it."
  value       = { PARLEY_DATABASE_URL = aws_secretsmanager_secret.this.arn }
}

output "endpoint" {
  description = "Host and port of the database."
  value       = aws_db_instance.this.endpoint
}

output "identifier" {
  description = "Name under which the database's signals are found."
  value       = aws_db_instance.this.identifier
}
