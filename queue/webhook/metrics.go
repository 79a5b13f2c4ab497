package webhook

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics count what the outbox does. Addresses are never labels.
type metrics struct {
	attempts  *prometheus.CounterVec // result: arrived, failed, gone
	collected prometheus.Counter
	dead      prometheus.Counter
	dropped   prometheus.Counter
	took      prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "recado_webhook_attempts_total",
			Help: "Attempts to deliver an event, by what came of them."}, []string{"result"}),
		collected: prometheus.NewCounter(prometheus.CounterOpts{Name: "recado_webhook_deliveries_total",
			Help: "Deliveries that began: one for every event and every webhook that wants it."}),
		dead: prometheus.NewCounter(prometheus.CounterOpts{Name: "recado_webhook_dead_letters_total",
			Help: "Deliveries that were given up."}),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{Name: "recado_webhook_dropped_total",
			Help: "Deliveries that never arrived and are not kept any more: after 30 days, or above 50,000 dead letters."}),
		took: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "recado_webhook_request_duration_seconds",
			Help: "Time until a webhook answered, or did not.", Buckets: []float64{.01, .05, .1, .5, 1, 5, 10}}),
	}
	if reg == nil {
		return m, nil
	}
	return m, errors.Join(reg.Register(m.attempts), reg.Register(m.collected), reg.Register(m.dead),
		reg.Register(m.dropped), reg.Register(m.took))
}
