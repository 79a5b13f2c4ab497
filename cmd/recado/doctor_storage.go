package main

import (
	"recado/pool"
	"recado/queue/sqlite"
)

// storageFindings are about a database that cannot be written, or once could not.
func storageFindings(db *sqlite.DB) []pool.Finding {
	if db == nil {
		return nil
	}
	h := db.Health()
	switch {
	case h.State == sqlite.HealthReadOnly:
		return []pool.Finding{pool.NewFinding("database_read_only", pool.FindingFail, pool.AboutProgram, "", map[string]string{"reason": h.Detail})}
	case h.State == sqlite.HealthOK && h.Detail != "":
		return []pool.Finding{pool.NewFinding("database_write_failed", pool.FindingWarn, pool.AboutProgram, "", map[string]string{"reason": h.Detail})}
	}
	return nil
}
