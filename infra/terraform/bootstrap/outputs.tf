output "state_bucket" {
  description = "For backend.hcl."
  value       = aws_s3_bucket.state.id
}

output "repository" {
  description = "Where images are pushed to, and for repository_arns."
  value       = { url = aws_ecr_repository.this.repository_url, arn = aws_ecr_repository.this.arn }
}
