output "environment" {
  description = "Setting of the gateway: the database's address, without a password."
  value       = { PARLEY_DATABASE_URL = "postgresql+asyncpg://${aws_db_instance.this.username}@${aws_db_instance.this.endpoint}/${aws_db_instance.this.db_name}?ssl=require" }
}

output "secrets" {
  description = "Variable of the gateway, and the ARN of the secret that holds it: the password, as the database's driver reads it."
  value       = { PGPASSWORD = aws_secretsmanager_secret.this.arn }
}

output "endpoint" {
  description = "Host and port of the database."
  value       = aws_db_instance.this.endpoint
}

output "identifier" {
  description = "Name under which the database's signals are found."
  value       = aws_db_instance.this.identifier
}
