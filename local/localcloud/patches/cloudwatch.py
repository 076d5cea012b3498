"""CloudWatch."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

from moto.cloudwatch import models, responses

from localcloud.patches import Client, restores


@restores("A dashboard has tags, and loses them when it is deleted")
def dashboard_tags() -> None:
    backend, api = models.CloudWatchBackend, responses.CloudWatchResponse
    stock_put, stock_delete, stock_tag = api.put_dashboard, backend.delete_dashboards, backend.tag_resource

    def put_dashboard(self: Any) -> Any:
        new = self._get_param("DashboardName") not in self.cloudwatch_backend.dashboards
        answer = stock_put(self)
        if new:
            arn = self.cloudwatch_backend.dashboards[self._get_param("DashboardName")].arn
            self.cloudwatch_backend.tagger.tag_resource(arn, self._get_param("Tags", []))
        return answer

    def delete_dashboards(self: Any, dashboards: list[str]) -> str | None:
        arns = [self.dashboards[name].arn for name in dashboards if name in self.dashboards]
        error = stock_delete(self, dashboards)
        for arn in arns if error is None else []:
            self.tagger.delete_all_tags_for_resource(arn)
        return error

    def tag_resource(self: Any, arn: str, tags: dict[str, str]) -> None:
        if arn in [dashboard.arn for dashboard in self.dashboards.values()]:
            self.tagger.tag_resource(arn, self.tagger.convert_dict_to_tags_input(tags))
        else:
            stock_tag(self, arn, tags)

    api.put_dashboard = put_dashboard
    backend.delete_dashboards, backend.tag_resource = delete_dashboards, tag_resource


@dashboard_tags.shown_by
def _dashboard_tags(client: Client) -> bool:
    cloudwatch = client("cloudwatch")

    def tags_of_new(**tags: Any) -> list[dict[str, str]]:
        cloudwatch.put_dashboard(DashboardName="probe", DashboardBody=json.dumps({"widgets": []}), **tags)
        arn = cloudwatch.get_dashboard(DashboardName="probe")["DashboardArn"]
        return cloudwatch.list_tags_for_resource(ResourceARN=arn)["Tags"]

    first = tags_of_new(Tags=[{"Key": "a", "Value": "b"}])
    # Tags of a later call are ignored.
    same = tags_of_new(Tags=[{"Key": "c", "Value": "d"}])
    cloudwatch.delete_dashboards(DashboardNames=["probe"])
    return first == same == [{"Key": "a", "Value": "b"}] and tags_of_new() == []


@restores("A deleted alarm takes its tags with it")
def alarm_tags() -> None:
    stock = models.CloudWatchBackend.delete_alarms

    def delete_alarms(self: Any, alarm_names: list[str]) -> None:
        for name in alarm_names:
            if name in self.alarms:
                self.tagger.delete_all_tags_for_resource(self.alarms[name].alarm_arn)
        stock(self, alarm_names)

    models.CloudWatchBackend.delete_alarms = delete_alarms


@alarm_tags.shown_by
def _alarm_tags(client: Client) -> bool:
    cloudwatch = client("cloudwatch")
    alarm = {"AlarmName": "probe", "ComparisonOperator": "LessThanThreshold", "Namespace": "N", "MetricName": "M"}
    alarm |= {"EvaluationPeriods": 1, "Threshold": 1, "Period": 60, "Statistic": "Sum"}
    cloudwatch.put_metric_alarm(**alarm, Tags=[{"Key": "a", "Value": "b"}])
    cloudwatch.delete_alarms(AlarmNames=["probe"])
    cloudwatch.put_metric_alarm(**alarm)
    arn = cloudwatch.describe_alarms()["MetricAlarms"][0]["AlarmArn"]
    return cloudwatch.list_tags_for_resource(ResourceARN=arn)["Tags"] == []


def percentile(values: list[float], share: float) -> float:
    """The smallest value that so many of them don't exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


@restores("Metrics have percentiles")
def percentiles() -> None:
    stock = models.Statistics.get_statistics_for_type

    def get(self: Any, stat: str) -> Any:
        values = self.metric_single_values_list
        return percentile(values, float(stat[1:]) / 100) if stat.startswith("p") and values else stock(self, stat)

    models.Statistics.get_statistics_for_type = get


@percentiles.shown_by
def _percentiles(client: Client) -> bool:
    cloudwatch, now = client("cloudwatch"), datetime.now(UTC)
    cloudwatch.put_metric_data(Namespace="N", MetricData=[{"MetricName": "M", "Value": n} for n in range(100)])
    query = {"Metric": {"Namespace": "N", "MetricName": "M"}, "Period": 60, "Stat": "p99"}
    answer = cloudwatch.get_metric_data(
        MetricDataQueries=[{"Id": "q", "MetricStat": query}],
        StartTime=now - timedelta(seconds=60),
        EndTime=now + timedelta(seconds=60),
    )
    return 98 in answer["MetricDataResults"][0]["Values"]
