variables {
  name                     = "parley-test"
  client_security_group_id = "sg-1"
  image                    = "example.org/parley:0.1.0-cuda"
  metric_namespace         = "Parley/parley-test"
  start_role_arn           = "arn:aws:iam::123456789012:role/start"
  log_group_name           = "/parley-test/worker"
  max_workers              = 3
  key_secret_arn           = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:parley-test/worker-key-AbCdEf"
  network = {
    vpc_id             = "vpc-1"
    private_subnet_ids = ["subnet-3", "subnet-4"]
  }
}

run "nobody_talks_nothing_runs" {
  command = apply

  assert {
    condition     = aws_appautoscaling_target.this.min_capacity == 0 && aws_autoscaling_group.this.min_size == 0 && aws_ecs_service.this.desired_count == 0
    error_message = "Without sessions there is no worker and no machine."
  }

  assert {
    condition     = aws_appautoscaling_policy.go.step_scaling_policy_configuration[0].adjustment_type == "ExactCapacity" && tonumber(one(aws_appautoscaling_policy.go.step_scaling_policy_configuration[0].step_adjustment).scaling_adjustment) == 0
    error_message = "Silence ends the last one."
  }
}

run "one_for_each_hundred" {
  command = apply

  assert {
    condition     = [for s in sort([for step in aws_appautoscaling_policy.come.step_scaling_policy_configuration[0].step_adjustment : format("%03d:%d", tonumber(step.metric_interval_lower_bound), step.scaling_adjustment)]) : s] == ["000:1", "100:2", "200:3"]
    error_message = "Workers come by the hundred sessions."
  }
}

run "one_gpu_each" {
  command = apply

  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].resourceRequirements == [{ type = "GPU", value = "1" }]
    error_message = "A worker has a GPU."
  }

  assert {
    condition     = aws_launch_template.this.metadata_options[0].http_tokens == "required"
    error_message = "The machine's metadata asks for a token."
  }

  assert {
    condition     = output.url == "http://worker.parley-test.internal:8001/v1"
    error_message = "The gateway finds the workers by name."
  }
}

run "a_worker_asks_for_its_key" {
  command = apply

  assert {
    condition     = [for s in jsondecode(aws_ecs_task_definition.this.container_definitions)[0].secrets : s.name] == ["PARLEY_WORKER_KEY"]
    error_message = "The key is a secret."
  }
}

run "refuses_a_worker_without_a_key" {
  command = plan

  variables {
    environment = { PARLEY_AUTH = "none" }
  }

  expect_failures = [var.environment]
}

run "refuses_a_machine_without_gpu" {
  command = plan

  variables {
    instance_type = "m7i.large"
  }

  expect_failures = [var.instance_type]
}
