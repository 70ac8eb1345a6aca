output "log_groups" {
  description = "Name and ARN of each log group: gateway, worker, flow."
  value       = { for key, group in aws_cloudwatch_log_group.this : key => { name = group.name, arn = group.arn } }
}

output "access_log_bucket" {
  description = "Bucket that takes access logs; ready once it is allowed to."
  value       = aws_s3_bucket_policy.this.bucket
}

output "alarm_topic_arn" {
  description = "Topic alarms are told to."
  value       = aws_sns_topic.this.arn
}

output "dashboard" {
  description = "Name of the dashboard."
  value       = aws_cloudwatch_dashboard.this.dashboard_name
}
