"""Simple Notification Service."""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult
from moto.sns import responses

from localcloud.patches import Client, restores

# Protocols whose endpoint is asked before it gets anything.
ASKED = ("email", "email-json", "http", "https")


@restores("A subscription that waits for its confirmation is listed without its ARN")
def pending_confirmation() -> None:
    stock = responses.SNSResponse.list_subscriptions_by_topic

    def row(subscription: Any) -> dict[str, str]:
        waits = subscription.protocol in ASKED and not subscription.confirmed
        return {
            "SubscriptionArn": "PendingConfirmation" if waits else subscription.arn,
            "Owner": subscription.owner,
            "Protocol": subscription.protocol,
            "Endpoint": subscription.endpoint,
            "TopicArn": subscription.topic_arn,
        }

    def list_subscriptions_by_topic(self: Any) -> ActionResult:
        answer = stock(self).result
        return ActionResult({**answer, "Subscriptions": [row(one) for one in answer["Subscriptions"]]})

    responses.SNSResponse.list_subscriptions_by_topic = list_subscriptions_by_topic


@pending_confirmation.shown_by
def _pending_confirmation(client: Client) -> bool:
    sns = client("sns")
    topic = sns.create_topic(Name="probe")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="probe@example.com")
    sns.subscribe(TopicArn=topic, Protocol="sms", Endpoint="+4930123456")
    found = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    return [one["SubscriptionArn"] == "PendingConfirmation" for one in found] == [True, False]
