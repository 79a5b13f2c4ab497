package auth

import (
	"context"
	"fmt"
)

// Asker is who may ask for messages: an API key or a person.
type Asker struct {
	ID, Name string
	Kind     string // KindKey or KindPerson
	Gone     bool   // revoked, or disabled
}

// Askers are all of them that there ever were: what was sent, and what was said of
// them in routes, names them by ID. Those that are there first, keys before people,
// by name.
func (s *Store) Askers(ctx context.Context) ([]Asker, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT id, name, 0 AS person, revoked_at <> 0 AS gone FROM api_key
		UNION ALL SELECT id, name, 1, disabled <> 0 FROM person ORDER BY gone, person, name COLLATE NOCASE, id`)
	if err != nil {
		return nil, fmt.Errorf("read who may ask for messages: %w", err)
	}
	defer rows.Close()
	list := []Asker{}
	for rows.Next() {
		a := Asker{Kind: KindKey}
		var person bool
		if err := rows.Scan(&a.ID, &a.Name, &person, &a.Gone); err != nil {
			return nil, fmt.Errorf("read who may ask for messages: %w", err)
		}
		if person {
			a.Kind = KindPerson
		}
		list = append(list, a)
	}
	return list, rows.Err()
}
