package sqlite

// The driver clears a statement's parameters before each use, at which SQLite (3.50
// and later) prepares every statement anew in whose planning the value of a parameter
// could have had a part: almost all joins and guarded updates, and that took most of
// their time. Its query planner stability guarantee ends that, and the driver has no
// way to ask for it.

// int sqlite3_db_config(void *, int, ...);
// static int recado_stable_plans(void *db, int set) { // set: 1 on, -1 only ask
//	int on = 0;
//	int rc = sqlite3_db_config(db, 1007 /* SQLITE_DBCONFIG_ENABLE_QPSG */, set, &on);
//	return rc == 0 && on == 1;
// }
import "C"

import (
	"errors"
	"reflect"

	sqlite3 "github.com/mattn/go-sqlite3"
)

// stablePlans has a connection keep the plans of its statements.
func stablePlans(conn *sqlite3.SQLiteConn) error {
	if !plansAreStable(conn, 1) {
		return errors.New("keep the plans of statements: SQLite refuses, or the driver's connection is not what it was")
	}
	return nil
}

func plansAreStable(conn *sqlite3.SQLiteConn, set int) bool {
	db := reflect.ValueOf(conn).Elem().FieldByName("db")
	return db.Kind() == reflect.Pointer && !db.IsNil() && C.recado_stable_plans(db.UnsafePointer(), C.int(set)) == 1
}
