variables {
  name = "parley-test"
  gateway = {
    namespace    = "Parley/parley-test"
    cluster      = "parley-test"
    service      = "gateway"
    lb           = "app/parley-test/1"
    target_group = "targetgroup/parley-test/1"
  }
}

run "someone_is_told" {
  command = apply

  variables {
    email    = "on-call@example.org"
    database = "parley-test"
  }

  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.this : alarm.alarm_actions == toset([aws_sns_topic.this.arn])])
    error_message = "Every alarm tells the topic."
  }

  assert {
    condition     = contains(keys(aws_cloudwatch_metric_alarm.this), "disk") && aws_sns_topic_subscription.this[0].endpoint == "on-call@example.org"
    error_message = "The database is watched, and the address is told."
  }
}

run "silence_is_an_alarm" {
  command = apply

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["silent"].treat_missing_data == "breaching"
    error_message = "No news is bad news."
  }

  assert {
    condition     = length(jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets) == 6
    error_message = "Six charts."
  }
}
