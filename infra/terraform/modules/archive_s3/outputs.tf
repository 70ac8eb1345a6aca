output "archive" {
  description = "What the identity module must know to let the gateway in."
  value = {
    bucket_arn = aws_s3_bucket.this.arn
    prefix     = var.prefix
    key_arn    = aws_kms_key.this.arn
  }
}

output "bucket" {
  description = "Name of the bucket."
  value       = aws_s3_bucket.this.id
}

output "environment" {
  description = "Settings that send the gateway's audio here."
  value = {
    PARLEY_BLOB_STORE  = "s3"
    PARLEY_BLOB_PREFIX = var.prefix
    PARLEY_S3_BUCKET   = aws_s3_bucket.this.id
  }
}
