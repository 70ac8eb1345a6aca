data "aws_caller_identity" "this" {}

data "aws_region" "this" {}

data "aws_partition" "this" {}

locals {
  groups = toset(["gateway", "worker", "flow"])

  in_cluster = { ClusterName = var.gateway.cluster, ServiceName = var.gateway.service }
  in_lb      = { LoadBalancer = var.gateway.lb, TargetGroup = var.gateway.target_group }

  # What wakes somebody: signal, when, and why one should care.
  alarms = merge(
    {
      full = {
        metric    = "Occupancy", namespace = var.gateway.namespace, dimensions = {}, statistic = "Average"
        threshold = 90, comparison = "GreaterThanOrEqualToThreshold", minutes = 3, missing = "notBreaching"
        why       = "Nine of ten places are taken and more tasks do not come: soon people are refused."
      }
      silent = {
        metric    = "Occupancy", namespace = var.gateway.namespace, dimensions = {}, statistic = "SampleCount"
        threshold = 1, comparison = "LessThanThreshold", minutes = 3, missing = "breaching"
        why       = "No task says how it is: none runs, or its log does not arrive, and autoscaling is blind."
      }
      failing = {
        metric    = "HTTPCode_Target_5XX_Count", namespace = "AWS/ApplicationELB", dimensions = local.in_lb, statistic = "Sum"
        threshold = 5, comparison = "GreaterThanOrEqualToThreshold", minutes = 2, missing = "notBreaching"
        why       = "The gateway fails requests."
      }
      unreachable = {
        metric    = "HTTPCode_ELB_5XX_Count", namespace = "AWS/ApplicationELB", dimensions = { LoadBalancer = var.gateway.lb }, statistic = "Sum"
        threshold = 5, comparison = "GreaterThanOrEqualToThreshold", minutes = 2, missing = "notBreaching"
        why       = "The load balancer finds no task, or tasks break connections."
      }
      unhealthy = {
        metric    = "UnHealthyHostCount", namespace = "AWS/ApplicationELB", dimensions = local.in_lb, statistic = "Maximum"
        threshold = 1, comparison = "GreaterThanOrEqualToThreshold", minutes = 5, missing = "notBreaching"
        why       = "A task does not answer its health check."
      }
      busy = {
        metric    = "CPUUtilization", namespace = "AWS/ECS", dimensions = local.in_cluster, statistic = "Average"
        threshold = 85, comparison = "GreaterThanOrEqualToThreshold", minutes = 5, missing = "notBreaching"
        why       = "Processors are short: drafts get rare and finals late."
      }
      swollen = {
        metric    = "MemoryUtilization", namespace = "AWS/ECS", dimensions = local.in_cluster, statistic = "Maximum"
        threshold = 85, comparison = "GreaterThanOrEqualToThreshold", minutes = 5, missing = "notBreaching"
        why       = "Memory is short: a task that runs out of it is killed with all its sessions."
      }
      archive = {
        metric    = "SpoolAge", namespace = var.gateway.namespace, dimensions = {}, statistic = "Maximum"
        threshold = 60, comparison = "GreaterThanOrEqualToThreshold", minutes = 1, missing = "notBreaching"
        why       = "Recordings do not reach the store: what waits on a task's disk is lost with the task."
      }
      broken = {
        metric    = "FailedSessions", namespace = var.gateway.namespace, dimensions = {}, statistic = "Sum"
        threshold = 3, comparison = "GreaterThanOrEqualToThreshold", minutes = 1, missing = "notBreaching"
        why       = "Sessions end with an error of ours."
      }
    },
    var.database == null ? {} : {
      disk = {
        metric    = "FreeStorageSpace", namespace = "AWS/RDS", dimensions = { DBInstanceIdentifier = var.database }, statistic = "Minimum"
        threshold = 2 * 1024 * 1024 * 1024, comparison = "LessThanThreshold", minutes = 5, missing = "notBreaching"
        why       = "The database has less than 2 GiB of disk left."
      }
    },
  )

  # Pages of docs/runbook; alarms and Prometheus' rules share them.
  runbook = {
    archive     = "archive-stopped"
    broken      = "sessions-fail"
    busy        = "speech-queue"
    disk        = "disk-full"
    failing     = "requests-fail"
    full        = "no-capacity"
    silent      = "server-down"
    swollen     = "memory"
    unhealthy   = "server-down"
    unreachable = "server-down"
  }

  widgets = [
    for i, widget in [
      { title = "Sessions, all tasks", metrics = [[var.gateway.namespace, "Sessions", { stat = "Sum", visible = false, id = "said" }], [{ expression = "said / 4", label = "sessions" }]] },
      { title = "Occupancy of a task, percent", metrics = [[var.gateway.namespace, "Occupancy", { stat = "Average" }], ["...", { stat = "Maximum" }]] },
      { title = "Tasks", metrics = [["ECS/ContainerInsights", "RunningTaskCount", "ClusterName", var.gateway.cluster, "ServiceName", var.gateway.service, { stat = "Average" }]] },
      { title = "Processor and memory, percent", metrics = [["AWS/ECS", "CPUUtilization", "ClusterName", var.gateway.cluster, "ServiceName", var.gateway.service], [".", "MemoryUtilization", ".", ".", ".", "."]] },
      { title = "Failed sessions", metrics = [[var.gateway.namespace, "FailedSessions", { stat = "Sum" }]] },
      { title = "Failed requests", metrics = [["AWS/ApplicationELB", "HTTPCode_Target_5XX_Count", "LoadBalancer", var.gateway.lb, { stat = "Sum" }], [".", "HTTPCode_ELB_5XX_Count", ".", ".", { stat = "Sum" }]] },
    ] :
    {
      type   = "metric"
      x      = (i % 2) * 12
      y      = floor(i / 2) * 6
      width  = 12
      height = 6
      properties = {
        title   = widget.title
        metrics = widget.metrics
        region  = data.aws_region.this.region
        period  = 60
        view    = "timeSeries"
      }
    }
  ]
}

# -- Logs ------------------------------------------------------------------------------------------

data "aws_iam_policy_document" "key" {
  #checkov:skip=CKV_AWS_109:a key's policy speaks of that key alone, whose resource is written as *
  #checkov:skip=CKV_AWS_111:a key's policy speaks of that key alone, whose resource is written as *
  #checkov:skip=CKV_AWS_356:a key's policy speaks of that key alone, whose resource is written as *
  statement {
    sid       = "AccountRules"
    actions   = ["kms:*"]
    resources = ["*"]

    principals {
      type        = "AWS"
      identifiers = ["arn:${data.aws_partition.this.partition}:iam::${data.aws_caller_identity.this.account_id}:root"]
    }
  }

  statement {
    sid       = "LogsOfThisService"
    actions   = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"]
    resources = ["*"]

    principals {
      type        = "Service"
      identifiers = ["logs.${data.aws_region.this.region}.amazonaws.com"]
    }

    condition {
      test     = "ArnLike"
      variable = "kms:EncryptionContext:aws:logs:arn"
      values   = ["arn:${data.aws_partition.this.partition}:logs:${data.aws_region.this.region}:${data.aws_caller_identity.this.account_id}:log-group:/${var.name}/*"]
    }
  }

  statement {
    sid       = "AlarmsOfThisAccount"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey*"]
    resources = ["*"]

    principals {
      type        = "Service"
      identifiers = ["cloudwatch.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.this.account_id]
    }
  }
}

resource "aws_kms_key" "this" {
  description             = "Logs and alarms of ${var.name}"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy                  = data.aws_iam_policy_document.key.json
}

resource "aws_cloudwatch_log_group" "this" {
  #checkov:skip=CKV_AWS_338:how long logs are kept is a variable; they hold figures and never words, and a year of them helps nobody
  for_each = local.groups

  name              = "/${var.name}/${each.key}"
  retention_in_days = var.retention_days
  kms_key_id        = aws_kms_key.this.arn
}

resource "aws_cloudwatch_log_metric_filter" "failed" {
  name           = "${var.name}-failed-sessions"
  log_group_name = aws_cloudwatch_log_group.this["gateway"].name
  pattern        = "\"session failed\""

  metric_transformation {
    name          = "FailedSessions"
    namespace     = var.gateway.namespace
    value         = "1"
    default_value = "0"
    unit          = "Count"
  }
}

# -- Access logs of the load balancer and of the archive ------------------------------------------------

resource "aws_s3_bucket" "this" {
  #checkov:skip=CKV_AWS_18:a log of who read the logs would need one of its own
  #checkov:skip=CKV_AWS_21:lines are written once and deleted by age
  #checkov:skip=CKV_AWS_144:access logs are of use for days, not worth a second region
  #checkov:skip=CKV_AWS_145:the load balancer can write to buckets with S3's own key only
  #checkov:skip=CKV2_AWS_62:nothing listens to events of this bucket
  bucket        = "${var.name}-access-${data.aws_caller_identity.this.account_id}-${data.aws_region.this.region}"
  force_destroy = var.force_destroy
}

resource "aws_s3_bucket_ownership_controls" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_public_access_block" "this" {
  bucket                  = aws_s3_bucket.this.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    id     = "age"
    status = "Enabled"

    filter {}

    expiration {
      days = var.retention_days
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 2
    }
  }
}

data "aws_iam_policy_document" "access_logs" {
  statement {
    sid       = "LinesOfTheLoadBalancer"
    actions   = ["s3:PutObject"]
    resources = ["${aws_s3_bucket.this.arn}/lb/AWSLogs/${data.aws_caller_identity.this.account_id}/*"]

    principals {
      type        = "Service"
      identifiers = ["logdelivery.elasticloadbalancing.amazonaws.com"]
    }
  }

  statement {
    sid       = "LinesOfTheArchive"
    actions   = ["s3:PutObject"]
    resources = ["${aws_s3_bucket.this.arn}/s3/*"]

    principals {
      type        = "Service"
      identifiers = ["logging.s3.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.this.account_id]
    }
  }

  statement {
    sid       = "NothingInTheClear"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [aws_s3_bucket.this.arn, "${aws_s3_bucket.this.arn}/*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_s3_bucket_policy" "this" {
  bucket     = aws_s3_bucket.this.id
  policy     = data.aws_iam_policy_document.access_logs.json
  depends_on = [aws_s3_bucket_public_access_block.this]
}

# -- Alarms and dashboard --------------------------------------------------------------------------

resource "aws_sns_topic" "this" {
  name              = "${var.name}-alarms"
  kms_master_key_id = aws_kms_key.this.id
}

resource "aws_sns_topic_subscription" "this" {
  count = var.email == null ? 0 : 1

  topic_arn = aws_sns_topic.this.arn
  protocol  = "email"
  endpoint  = var.email
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = "${each.value.why} See docs/runbook/${local.runbook[each.key]}.md."
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  period              = 60
  evaluation_periods  = each.value.minutes
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  treat_missing_data  = each.value.missing
  alarm_actions       = [aws_sns_topic.this.arn]
  ok_actions          = [aws_sns_topic.this.arn]
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name
  dashboard_body = jsonencode({ widgets = local.widgets })
}
