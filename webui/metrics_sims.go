package webui

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"recado/pool"
	"recado/queue"
)

// simFigures are the SIMs' limits, credit and state, read when they are asked for.
type simFigures struct{ s *Server }

var (
	simUsed     = prometheus.NewDesc("recado_sim_used", "What a SIM has used of a window, in segments or different recipients.", []string{"sim", "window", "of"}, nil)
	simLimit    = prometheus.NewDesc("recado_sim_limit", "The limit of it; none when there is no limit.", []string{"sim", "window", "of"}, nil)
	simStates   = prometheus.NewDesc("recado_sim_state", "1 for the state that a SIM is in.", []string{"sim", "state"}, nil)
	simBalance  = prometheus.NewDesc("recado_sim_credit_minor", "Balance in the currency's smallest unit; none when it is not known.", []string{"sim", "currency"}, nil)
	simNoCredit = prometheus.NewDesc("recado_sim_no_credit", "1: nothing is sent on it for want of credit.", []string{"sim"}, nil)
	pausedNow   = prometheus.NewDesc("recado_sending_paused", "1 for each kill switch that is thrown: all, or a sim or class.", []string{"kind", "name"}, nil)
)

// Describe implements prometheus.Collector.
func (f simFigures) Describe(c chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{simUsed, simLimit, simStates, simBalance, simNoCredit, pausedNow} {
		c <- d
	}
}

// Collect implements prometheus.Collector.
func (f simFigures) Collect(c chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		c <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	p := f.s.pool.Pauses()
	all := 0.0
	if p.All {
		all = 1
	}
	gauge(pausedNow, all, "all", "")
	for _, iccid := range p.SIMs {
		gauge(pausedNow, 1, "sim", iccid)
	}
	for _, class := range p.Classes {
		gauge(pausedNow, 1, "class", string(class))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	sims, err := f.s.pool.SIMs(ctx)
	if err != nil {
		f.s.log.Warn("the SIMs' figures cannot be read", "err", err)
		return
	}
	for _, sim := range sims {
		f.sim(gauge, sim)
	}
}

func (simFigures) sim(gauge func(*prometheus.Desc, float64, ...string), sim pool.SIM) {
	gauge(simStates, 1, sim.ICCID, sim.State)
	for _, u := range sim.Limits.Limits {
		w := string(u.Window)
		gauge(simUsed, float64(u.UsedSegments), sim.ICCID, w, "segments")
		gauge(simUsed, float64(u.UsedRecipients), sim.ICCID, w, "recipients")
		if u.MaxSegments > 0 {
			gauge(simLimit, float64(u.MaxSegments), sim.ICCID, w, "segments")
		}
		if u.MaxRecipients > 0 {
			gauge(simLimit, float64(u.MaxRecipients), sim.ICCID, w, "recipients")
		}
	}
	if sim.Credit.Known {
		gauge(simBalance, float64(sim.Credit.Minor), sim.ICCID, sim.Credit.Currency)
	}
	none := 0.0
	if sim.Credit.State() == queue.CreditNone {
		none = 1
	}
	gauge(simNoCredit, none, sim.ICCID)
}
