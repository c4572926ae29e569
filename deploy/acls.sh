#!/bin/sh
# Who may do what at the broker, for those who use Kafka's own tools. The same, and idempotent too:
#   countersign topics apply --acls
# Written by `python -m consumers.acls_script --write` from the table in consumers/access.py.
#
#   BOOTSTRAP=kafka-1.example:9093 COMMAND_CONFIG=admin.properties sh acls.sh
#
# KAFKA_ACLS names another kafka-acls.sh, COUNTERSIGN_TOPIC_PREFIX the deployment, and
# e.g. AGENT=User:billing-agent another principal.
set -eu
: "${BOOTSTRAP:?set it to a broker, host:port}"
P="${COUNTERSIGN_TOPIC_PREFIX:-}"
add() {
  "${KAFKA_ACLS:-kafka-acls.sh}" --bootstrap-server "$BOOTSTRAP" \
    ${COMMAND_CONFIG:+--command-config "$COMMAND_CONFIG"} --add --force --allow-principal "$@"
}

# worker: countersign worker
WORKER="${WORKER:-User:countersign-worker}"
add "$WORKER" --operation Write \
  --topic "${P}interrupt-requested" \
  --topic "${P}decision-command" \
  --topic "${P}tool-execution" \
  --topic "${P}notice.sent" \
  --topic "${P}human.decision_recorded" \
  --topic "${P}tool-gate" \
  --topic "${P}interrupt-status" \
  --topic "${P}review-task" \
  --topic "${P}command-refused" \
  --topic "${P}audit-journal" \
  --topic "${P}audit-checkpoint" \
  --topic "${P}interrupt-state" \
  --topic "${P}rekeyed" \
  --topic "${P}review-context" \
  --topic "${P}dead-letter"
add "$WORKER" --operation Read \
  --topic "${P}interrupt-requested" \
  --topic "${P}decision-command" \
  --topic "${P}tool-execution" \
  --topic "${P}notice.sent" \
  --topic "${P}human.decision_recorded" \
  --topic "${P}tool-gate" \
  --topic "${P}interrupt-status" \
  --topic "${P}review-task" \
  --topic "${P}command-refused" \
  --topic "${P}audit-journal" \
  --topic "${P}audit-checkpoint" \
  --topic "${P}interrupt-state" \
  --topic "${P}rekeyed" \
  --topic "${P}control-policy" \
  --topic "${P}reviewer-directory" \
  --topic "${P}review-context" \
  --topic "${P}dead-letter"
add "$WORKER" --operation DescribeConfigs \
  --topic "${P}interrupt-requested" \
  --topic "${P}decision-command" \
  --topic "${P}tool-execution" \
  --topic "${P}notice.sent" \
  --topic "${P}human.decision_recorded" \
  --topic "${P}tool-gate" \
  --topic "${P}interrupt-status" \
  --topic "${P}review-task" \
  --topic "${P}command-refused" \
  --topic "${P}audit-journal" \
  --topic "${P}audit-checkpoint" \
  --topic "${P}interrupt-state" \
  --topic "${P}rekeyed" \
  --topic "${P}control-policy" \
  --topic "${P}reviewer-directory" \
  --topic "${P}review-context" \
  --topic "${P}dead-letter"
add "$WORKER" --operation Read \
  --group "${P}control-worker"
add "$WORKER" --operation Describe \
  --group "${P}control-reader" \
  --group "countersign-reader"
add "$WORKER" --operation Describe --resource-pattern-type prefixed \
  --group "${P}answers-"
add "$WORKER" --operation Write --resource-pattern-type prefixed \
  --transactional-id "${P}control-"

# notifier: countersign notifier
NOTIFIER="${NOTIFIER:-User:countersign-notifier}"
add "$NOTIFIER" --operation Write \
  --topic "${P}tool-execution" \
  --topic "${P}notice.sent"
add "$NOTIFIER" --operation Read \
  --topic "${P}tool-gate" \
  --topic "${P}command-refused" \
  --topic "${P}tool-execution" \
  --topic "${P}notice.sent" \
  --topic "${P}dead-letter"
add "$NOTIFIER" --operation Read \
  --group "${P}notifier"
add "$NOTIFIER" --operation Describe \
  --group "${P}notifier-history" \
  --group "countersign-reader"
add "$NOTIFIER" --operation Describe --resource-pattern-type prefixed \
  --group "${P}answers-"

# executor: any other executor
EXECUTOR="${EXECUTOR:-User:countersign-executor}"
add "$EXECUTOR" --operation Write \
  --topic "${P}tool-execution"
add "$EXECUTOR" --operation Read \
  --topic "${P}tool-gate" \
  --topic "${P}command-refused" \
  --topic "${P}tool-execution" \
  --topic "${P}dead-letter"
add "$EXECUTOR" --operation Read --resource-pattern-type prefixed \
  --group "${P}executor."
add "$EXECUTOR" --operation Describe --resource-pattern-type prefixed \
  --group "${P}answers-"
add "$EXECUTOR" --operation Describe \
  --group "countersign-reader"

# agent: agent services: AgentClient, request, wait, cancel
AGENT="${AGENT:-User:countersign-agent}"
add "$AGENT" --operation Write \
  --topic "${P}interrupt-requested"
add "$AGENT" --operation Read \
  --topic "${P}interrupt-status" \
  --topic "${P}tool-gate" \
  --topic "${P}command-refused" \
  --topic "${P}dead-letter" \
  --topic "${P}interrupt-state"
add "$AGENT" --operation Describe --resource-pattern-type prefixed \
  --group "${P}answers-"
add "$AGENT" --operation Describe \
  --group "countersign-reader"

# reviewer: reviewers' programs: ReviewerClient, decide and the other signed commands, explain
REVIEWER="${REVIEWER:-User:countersign-reviewer}"
add "$REVIEWER" --operation Write \
  --topic "${P}decision-command"
add "$REVIEWER" --operation Read \
  --topic "${P}interrupt-requested" \
  --topic "${P}decision-command" \
  --topic "${P}tool-execution" \
  --topic "${P}notice.sent" \
  --topic "${P}human.decision_recorded" \
  --topic "${P}tool-gate" \
  --topic "${P}interrupt-status" \
  --topic "${P}review-task" \
  --topic "${P}command-refused" \
  --topic "${P}interrupt-state" \
  --topic "${P}rekeyed" \
  --topic "${P}control-policy" \
  --topic "${P}reviewer-directory" \
  --topic "${P}review-context" \
  --topic "${P}dead-letter"
add "$REVIEWER" --operation Describe --resource-pattern-type prefixed \
  --group "${P}answers-"
add "$REVIEWER" --operation Describe \
  --group "countersign-reader" \
  --group "${P}control-worker"

# balancer: countersign balancer
BALANCER="${BALANCER:-User:countersign-balancer}"
add "$BALANCER" --operation Write \
  --topic "${P}decision-command" \
  --topic "${P}review-context"
add "$BALANCER" --operation Read \
  --topic "${P}control-policy" \
  --topic "${P}reviewer-directory" \
  --topic "${P}review-context" \
  --topic "${P}interrupt-state" \
  --topic "${P}command-refused" \
  --topic "${P}human.decision_recorded"
add "$BALANCER" --operation Describe \
  --topic "${P}interrupt-requested" \
  --topic "${P}tool-execution" \
  --topic "${P}notice.sent" \
  --topic "${P}tool-gate" \
  --topic "${P}interrupt-status" \
  --topic "${P}review-task" \
  --topic "${P}audit-journal" \
  --topic "${P}audit-checkpoint" \
  --topic "${P}rekeyed" \
  --topic "${P}dead-letter"
add "$BALANCER" --operation DescribeConfigs \
  --topic "${P}interrupt-requested" \
  --topic "${P}decision-command" \
  --topic "${P}tool-execution" \
  --topic "${P}notice.sent" \
  --topic "${P}human.decision_recorded" \
  --topic "${P}tool-gate" \
  --topic "${P}interrupt-status" \
  --topic "${P}review-task" \
  --topic "${P}command-refused" \
  --topic "${P}audit-journal" \
  --topic "${P}audit-checkpoint" \
  --topic "${P}interrupt-state" \
  --topic "${P}rekeyed" \
  --topic "${P}control-policy" \
  --topic "${P}reviewer-directory" \
  --topic "${P}review-context" \
  --topic "${P}dead-letter"
add "$BALANCER" --operation Describe \
  --group "${P}balancer" \
  --group "countersign-reader"
add "$BALANCER" --operation Describe --resource-pattern-type prefixed \
  --group "${P}answers-"

# governor: policy apply, reviewers apply
GOVERNOR="${GOVERNOR:-User:countersign-governor}"
add "$GOVERNOR" --operation Write \
  --topic "${P}control-policy" \
  --topic "${P}reviewer-directory"
add "$GOVERNOR" --operation Read \
  --topic "${P}control-policy" \
  --topic "${P}reviewer-directory" \
  --topic "${P}review-context"
add "$GOVERNOR" --operation Describe --resource-pattern-type prefixed \
  --group "${P}answers-"
add "$GOVERNOR" --operation Describe \
  --group "countersign-reader"

# auditor: everything that only reads: audit, reconcile, tail, dlq list, doctor, topics plan
AUDITOR="${AUDITOR:-User:countersign-auditor}"
add "$AUDITOR" --operation Read \
  --topic "${P}interrupt-requested" \
  --topic "${P}decision-command" \
  --topic "${P}tool-execution" \
  --topic "${P}notice.sent" \
  --topic "${P}human.decision_recorded" \
  --topic "${P}tool-gate" \
  --topic "${P}interrupt-status" \
  --topic "${P}review-task" \
  --topic "${P}command-refused" \
  --topic "${P}audit-journal" \
  --topic "${P}audit-checkpoint" \
  --topic "${P}interrupt-state" \
  --topic "${P}rekeyed" \
  --topic "${P}control-policy" \
  --topic "${P}reviewer-directory" \
  --topic "${P}review-context" \
  --topic "${P}dead-letter"
add "$AUDITOR" --operation DescribeConfigs \
  --topic "${P}interrupt-requested" \
  --topic "${P}decision-command" \
  --topic "${P}tool-execution" \
  --topic "${P}notice.sent" \
  --topic "${P}human.decision_recorded" \
  --topic "${P}tool-gate" \
  --topic "${P}interrupt-status" \
  --topic "${P}review-task" \
  --topic "${P}command-refused" \
  --topic "${P}audit-journal" \
  --topic "${P}audit-checkpoint" \
  --topic "${P}interrupt-state" \
  --topic "${P}rekeyed" \
  --topic "${P}control-policy" \
  --topic "${P}reviewer-directory" \
  --topic "${P}review-context" \
  --topic "${P}dead-letter"
add "$AUDITOR" --operation Describe --resource-pattern-type prefixed \
  --group "${P}answers-"
add "$AUDITOR" --operation Describe \
  --group "countersign-reader" \
  --group "${P}control-worker"
add "$AUDITOR" --operation Describe \
  --cluster
