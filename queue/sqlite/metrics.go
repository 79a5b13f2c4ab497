package sqlite

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics registers what is to be watched of the database: its health, one
// series a state of which one is 1, the room on its disk, and what of the
// reserve is missing, in octets.
func (db *DB) Metrics(reg prometheus.Registerer) error {
	var errs []error
	for _, state := range []string{HealthOK, HealthChecking, HealthLow, HealthFull, HealthReadOnly} {
		errs = append(errs, reg.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "recado_database_state",
			Help: "The state of the database: 1 for the one that it is in.", ConstLabels: prometheus.Labels{"state": state}}, func() float64 {
			if db.cond.look().State == state {
				return 1
			}
			return 0
		})))
	}
	return errors.Join(append(errs,
		reg.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "recado_database_room_bytes",
			Help: "What can still be written on the disk of the database."}, func() float64 {
			free, _, err := db.cond.room()
			if err != nil {
				return -1
			}
			return float64(free)
		})),
		reg.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "recado_database_reserve_missing_bytes",
			Help: "What is missing of the room that the database keeps for a full disk."}, func() float64 {
			return float64(db.cond.missing.Load())
		})))...)
}
