variables {
  name = "parley-test"
  tasks = {
    gateway = {
      log_group_arn = "arn:aws:logs:eu-central-1:123456789012:log-group:/parley-test/gateway"
      secret_arns   = ["arn:aws:secretsmanager:eu-central-1:123456789012:secret:parley-test/openai-AbCdEf"]
    }
    worker = {
      log_group_arn = "arn:aws:logs:eu-central-1:123456789012:log-group:/parley-test/worker"
      secret_arns   = ["arn:aws:secretsmanager:eu-central-1:123456789012:secret:parley-test/worker-AbCdEf"]
    }
  }
}

run "alone_it_may_hear_and_speak" {
  command = apply

  assert {
    condition     = flatten([for s in jsondecode(aws_iam_role_policy.gateway.policy).Statement : s.Action]) == ["polly:SynthesizeSpeech", "transcribe:StartStreamTranscription"]
    error_message = "Nothing but hearing and speaking."
  }

  assert {
    condition     = jsondecode(aws_iam_role_policy.gateway.policy).Statement[0].Condition.StringEquals["aws:RequestedRegion"] == ["eu-central-1"]
    error_message = "In this region alone."
  }
}

run "its_own_prefix_and_nothing_beside_it" {
  command = apply

  variables {
    archive = {
      bucket_arn = "arn:aws:s3:::parley-test-audio"
      prefix     = "audio/"
      key_arn    = "arn:aws:kms:eu-central-1:123456789012:key/1"
    }
  }

  assert {
    condition     = one([for s in jsondecode(aws_iam_role_policy.gateway.policy).Statement : s.Resource if s.Sid == "OwnAudio"]) == ["arn:aws:s3:::parley-test-audio/audio/*"]
    error_message = "Objects under the prefix."
  }

  assert {
    condition     = one([for s in jsondecode(aws_iam_role_policy.gateway.policy).Statement : s.Condition.StringLike["s3:prefix"] if s.Sid == "ListOwnAudio"]) == ["audio/*"]
    error_message = "Lists under the prefix."
  }
}

run "each_task_has_its_own_secrets" {
  command = apply

  assert {
    condition     = jsonencode({ for kind, policy in aws_iam_role_policy.start : kind => one([for s in jsondecode(policy.policy).Statement : s.Resource if s.Sid == "ReadOwnSecrets"]) }) == jsonencode({ for kind, task in var.tasks : kind => task.secret_arns })
    error_message = "The secrets named, and no others."
  }

  assert {
    condition     = jsondecode(aws_iam_role.gateway.assume_role_policy).Statement[0].Condition.StringEquals["aws:SourceAccount"] == ["123456789012"]
    error_message = "For tasks of this account."
  }
}

run "refuses_the_whole_bucket" {
  command = plan

  variables {
    archive = {
      bucket_arn = "arn:aws:s3:::parley-test-audio"
      prefix     = ""
      key_arn    = "arn:aws:kms:eu-central-1:123456789012:key/1"
    }
  }

  expect_failures = [var.archive]
}
