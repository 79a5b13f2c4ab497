package queue

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts what the Store does. Numbers and texts are never labels.
type metrics struct {
	submitted *prometheus.CounterVec // class
	states    *prometheus.CounterVec // state, class
	attempts  *prometheus.CounterVec // verdict
	reports   *prometheus.CounterVec // result
	damaged   *prometheus.CounterVec // kind
	blanked   *prometheus.CounterVec // what
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		submitted: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "recado_messages_accepted_total",
			Help: "Messages accepted, on disk."}, []string{"class"}),
		states: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "recado_messages_state_total",
			Help: "Messages that came into a state."}, []string{"state", "class"}),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "recado_attempts_total",
			Help: "Attempts that passed the gate, by what became of them."}, []string{"verdict"}),
		reports: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "recado_status_reports_total",
			Help: "Status reports: matched, orphan, repeated."}, []string{"result"}),
		damaged: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "recado_damaged_rows_total",
			Help: "Stored messages found not to be what was written."}, []string{"kind"}),
		blanked: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "recado_retention_rows_total",
			Help: "Messages whose keeping was over: texts deleted, rows deleted."}, []string{"what"}),
	}
	if reg == nil {
		return m, nil
	}
	return m, errors.Join(reg.Register(m.submitted), reg.Register(m.states), reg.Register(m.attempts), reg.Register(m.reports),
		reg.Register(m.damaged), reg.Register(m.blanked))
}

func (m *metrics) accepted(c Class, n int) {
	if c == "" {
		c = Normal
	}
	m.submitted.WithLabelValues(string(c)).Add(float64(n))
}
func (m *metrics) entered(s State, c Class) {
	m.states.WithLabelValues(string(s), string(c)).Inc()
}
func (m *metrics) attempt(v Verdict) { m.attempts.WithLabelValues(verdictNames[v]).Inc() }
func (m *metrics) reported(result string) {
	m.reports.WithLabelValues(result).Inc()
}
