package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"recado/pool"
	"recado/queue"
	"recado/queue/webhook"
	"recado/webui"
)

// webhookFlags say what webhooks may reach.
type webhookFlags struct {
	WebhookLoopback bool `help:"Let webhooks that may reach private networks reach programs on this machine, too."`
}

// outbox makes what tells other programs; run delivers until its context ends.
func (f webhookFlags) outbox(ctx context.Context, kept *stores, clock queue.Clock, log *slog.Logger, metrics prometheus.Registerer) (*webhook.Outbox, error) {
	return webhook.New(ctx, kept.db, kept.queue, webhook.Options{
		Clock: clock, Key: kept.key, Loopback: f.WebhookLoopback, Log: log, Registerer: metrics,
	})
}

// webhookFindings are what the doctor says of webhooks; nothing without a daemon.
func (w *ward) webhookFindings(ctx context.Context) []pool.Finding {
	list, err := webui.WebhookFindings(ctx, w.hooks, time.Now())
	if err != nil {
		return []pool.Finding{pool.NewFinding("part_stalled", pool.FindingWarn, pool.AboutProgram, "", map[string]string{"reason": oneLine(err)})}
	}
	return list
}
