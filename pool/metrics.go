package pool

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"recado/modem"
)

// metrics of the pool; nil methods do nothing.
type metrics struct {
	submissions *prometheus.CounterVec
	seconds     prometheus.Histogram
}

func newMetrics(r prometheus.Registerer) *metrics {
	if r == nil {
		return nil
	}
	m := &metrics{
		submissions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "recado_submissions_total", Help: "Submissions by what the network made of them.",
		}, []string{"verdict"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "recado_submission_seconds", Help: "Time from AT+CMGS to the answer of accepted submissions.",
			Buckets: []float64{.1, .25, .5, 1, 2, 3, 5, 8, 15, 30, 60, 120, 180},
		}),
	}
	r.MustRegister(m.submissions, m.seconds)
	return m
}

var verdictNames = map[modem.Verdict]string{
	modem.NotSent: "not_sent", modem.Accepted: "accepted", modem.Rejected: "rejected", modem.Ambiguous: "ambiguous",
}

func (m *metrics) submitted(o modem.Outcome, took time.Duration) {
	if m == nil {
		return
	}
	m.submissions.WithLabelValues(verdictNames[o.Verdict]).Inc()
	if o.Verdict == modem.Accepted {
		m.seconds.Observe(took.Seconds())
	}
}
