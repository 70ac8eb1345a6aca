data "aws_region" "this" {}

data "aws_caller_identity" "this" {}

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }

    # ECS takes these roles for tasks of this account alone.
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.this.account_id]
    }
  }
}

# What the gateway's own code may do.
data "aws_iam_policy_document" "gateway" {
  # Neither service knows resources for these actions; the region is all there is to narrow.
  statement {
    sid       = "HearAndSpeak"
    actions   = ["transcribe:StartStreamTranscription", "polly:SynthesizeSpeech"]
    resources = ["*"]

    condition {
      test     = "StringEquals"
      variable = "aws:RequestedRegion"
      values   = [data.aws_region.this.region]
    }
  }

  dynamic "statement" {
    for_each = var.archive[*]

    content {
      sid       = "OwnAudio"
      actions   = ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:GetObject", "s3:PutObject"]
      resources = ["${statement.value.bucket_arn}/${statement.value.prefix}*"]
    }
  }

  dynamic "statement" {
    for_each = var.archive[*]

    content {
      sid       = "ListOwnAudio"
      actions   = ["s3:ListBucket", "s3:ListBucketVersions"]
      resources = [statement.value.bucket_arn]

      condition {
        test     = "StringLike"
        variable = "s3:prefix"
        values   = ["${statement.value.prefix}*"]
      }
    }
  }

  # S3 asks for these two on the caller's behalf: one to write, one to read.
  dynamic "statement" {
    for_each = var.archive[*]

    content {
      sid       = "KeyOfOwnAudio"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = [statement.value.key_arn]

      condition {
        test     = "StringEquals"
        variable = "kms:ViaService"
        values   = ["s3.${data.aws_region.this.region}.amazonaws.com"]
      }
    }
  }

  dynamic "statement" {
    for_each = var.azure_audience[*]

    content {
      sid       = "ProveWhoWeAreToAzure"
      actions   = ["sts:GetWebIdentityToken"]
      resources = ["*"]

      condition {
        test     = "ForAllValues:StringEquals"
        variable = "sts:IdentityTokenAudience"
        values   = [statement.value]
      }
    }
  }
}

resource "aws_iam_role" "gateway" {
  name               = "${var.name}-gateway"
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

resource "aws_iam_role_policy" "gateway" {
  name   = "gateway"
  role   = aws_iam_role.gateway.id
  policy = data.aws_iam_policy_document.gateway.json
}

# What ECS may do to start a task of each kind: fetch its image and its secrets, open its log. The code never holds
# these roles.
data "aws_iam_policy_document" "start" {
  for_each = var.tasks

  statement {
    sid       = "WriteOwnLogs"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${each.value.log_group_arn}:*"]
  }

  dynamic "statement" {
    for_each = length(var.repository_arns) > 0 ? [var.repository_arns] : []

    content {
      sid       = "PullOwnImages"
      actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
      resources = statement.value
    }
  }

  # The token to the registry is for the account: this action knows no resource.
  dynamic "statement" {
    for_each = length(var.repository_arns) > 0 ? [1] : []

    content {
      sid       = "EnterRegistry"
      actions   = ["ecr:GetAuthorizationToken"]
      resources = ["*"]
    }
  }

  dynamic "statement" {
    for_each = length(each.value.secret_arns) > 0 ? [each.value.secret_arns] : []

    content {
      sid       = "ReadOwnSecrets"
      actions   = ["secretsmanager:GetSecretValue"]
      resources = statement.value
    }
  }
}

resource "aws_iam_role" "start" {
  for_each = var.tasks

  name               = "${var.name}-${each.key}-start"
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

resource "aws_iam_role_policy" "start" {
  for_each = var.tasks

  name   = "start"
  role   = aws_iam_role.start[each.key].id
  policy = data.aws_iam_policy_document.start[each.key].json
}
