variables {
  name              = "parley-test"
  domain            = "voice.example.org"
  zone_id           = "Z0123456789ABCDEFGHIJ"
  image             = "example.org/parley:0.1.0"
  access_log_bucket = "parley-test-access"
  task_role_arn     = "arn:aws:iam::123456789012:role/gateway"
  start_role_arn    = "arn:aws:iam::123456789012:role/start"
  log_group_name    = "/parley-test/gateway"
  network = {
    vpc_id             = "vpc-1"
    cidr               = "10.20.0.0/16"
    public_subnet_ids  = ["subnet-1", "subnet-2"]
    private_subnet_ids = ["subnet-3", "subnet-4"]
  }
}

run "people_come_in_encrypted" {
  command = apply

  assert {
    condition     = aws_lb_listener.https.port == 443 && startswith(aws_lb_listener.https.ssl_policy, "ELBSecurityPolicy-TLS13")
    error_message = "TLS 1.2 or newer."
  }

  assert {
    condition     = aws_lb_listener.http.default_action[0].type == "redirect" && aws_lb_listener.http.default_action[0].redirect[0].protocol == "HTTPS"
    error_message = "Port 80 only shows the way."
  }

  assert {
    condition     = output.endpoint == "https://voice.example.org/" && output.websocket_urls.raw == "wss://voice.example.org/ws/raw"
    error_message = "The outputs say where to connect."
  }

  assert {
    condition     = aws_acm_certificate.this[0].domain_name == "voice.example.org"
    error_message = "A certificate is issued where none is given."
  }
}

run "the_task_is_locked_up" {
  command = apply

  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].readonlyRootFilesystem
    error_message = "Nothing writes to the image."
  }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].linuxParameters.capabilities.drop == ["ALL"]
    error_message = "No capability is kept."
  }

  assert {
    condition     = length(jsondecode(aws_ecs_task_definition.this.container_definitions)) == 1
    error_message = "Without Azure there is no companion."
  }

  assert {
    condition     = aws_ecs_service.this.network_configuration[0].assign_public_ip == false
    error_message = "Tasks have no public address."
  }
}

run "tasks_reach_what_the_settings_name_and_no_more" {
  command = apply

  variables {
    environment = { PARLEY_REPLY_PROVIDER = "receiver, openai", PARLEY_RECEIVER_PORT = "5009" }
  }

  assert {
    condition     = { for name, rule in aws_vpc_security_group_egress_rule.inside : name => rule.from_port } == { database = 5432, receiver = 5009 }
    error_message = "The database and the receiver, each on its port."
  }

  assert {
    condition     = alltrue([for rule in aws_vpc_security_group_egress_rule.inside : rule.ip_protocol == "tcp" && rule.cidr_ipv4 == "10.20.0.0/16"])
    error_message = "In the network, over TCP."
  }
}

run "it_follows_those_who_talk" {
  command = apply

  assert {
    condition     = aws_appautoscaling_policy.sessions.target_tracking_scaling_policy_configuration[0].customized_metric_specification[0].namespace == aws_cloudwatch_log_metric_filter.this["Occupancy"].metric_transformation[0].namespace
    error_message = "Autoscaling reads the metric the filter writes."
  }

  assert {
    condition     = aws_appautoscaling_policy.cpu.target_tracking_scaling_policy_configuration[0].predefined_metric_specification[0].predefined_metric_type == "ECSServiceAverageCPUUtilization"
    error_message = "And the processor."
  }
}

run "azure_brings_a_companion" {
  command = apply

  variables {
    cpu_architecture = "ARM64"
    azure = {
      audience  = "api://AzureADTokenExchange"
      client_id = "11111111-1111-1111-1111-111111111111"
      tenant_id = "22222222-2222-2222-2222-222222222222"
    }
  }

  assert {
    condition     = [for c in jsondecode(aws_ecs_task_definition.this.container_definitions) : c.name] == ["gateway", "azure-token"]
    error_message = "The companion fetches tokens."
  }

  assert {
    condition     = aws_ecs_task_definition.this.runtime_platform[0].cpu_architecture == "ARM64"
    error_message = "ARM where asked for."
  }
}

run "refuses_latest" {
  command = plan

  variables {
    image = "example.org/parley:latest"
  }

  expect_failures = [var.image]
}

run "refuses_a_short_idle_timeout" {
  command = plan

  variables {
    idle_timeout_seconds = 30
  }

  expect_failures = [var.idle_timeout_seconds]
}

run "refuses_an_origin_with_a_path" {
  command = plan

  variables {
    allowed_origins = ["https://app.example.org/talk"]
  }

  expect_failures = [var.allowed_origins]
}

run "refuses_a_second_word_on_the_port" {
  command = plan

  variables {
    environment = { PORT = "9000" }
  }

  expect_failures = [var.environment]
}

run "wants_a_certificate_or_a_zone" {
  command = plan

  variables {
    zone_id = null
  }

  expect_failures = [var.certificate_arn]
}
