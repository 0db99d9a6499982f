package main

import (
	"context"
	"time"

	"github.com/meshnode/meshnode/router"
)

// tableRow is an ownership table of so many members: the times are the least of a
// few, because the machine has other things to do.
type tableRow struct {
	Members    int     `json:"members"`
	Partitions uint32  `json:"partitions"`
	NewS       float64 `json:"new_s"`  // from scratch
	WithS      float64 `json:"with_s"` // one member more, by the table before
	Bytes      float64 `json:"bytes"`
	Peak       float64 `json:"peak"` // the largest share over the average
}

// tablePartitions are the sizes of the key space that tables are measured with.
func tablePartitions() []uint32 { return []uint32{1 << 14, 1 << 16, 1 << 18} }

// longTable is from when on a table is built once only, and not for smaller trifles
// again.
const longTable = time.Second

func measureTables(ctx context.Context, members []int) ([]tableRow, error) {
	var rows []tableRow
	for _, p := range tablePartitions() {
		for _, n := range members {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			row, err := measureTable(n, p)
			if err != nil {
				return nil, err
			}
			rows = append(rows, row)
		}
	}
	return rows, nil
}

func measureTable(n int, partitions uint32) (tableRow, error) {
	const tries = 5
	row := tableRow{Members: n, Partitions: partitions}
	members := clusterOf(n, 0)
	var table *router.Table
	for range tries {
		start := time.Now()
		t, err := router.New(members, router.Params{Partitions: partitions})
		if err != nil {
			return row, err
		}
		took := time.Since(start)
		table, row.NewS = t, least(row.NewS, took)
		if took > longTable {
			break
		}
	}
	for k := range tries {
		joiner := router.Member{Name: "joiner-" + string(rune('a'+k)) + ".example.net:7101", Weight: 1}
		more := append(table.Members(), joiner)
		start := time.Now()
		if _, err := table.With(more); err != nil {
			return row, err
		}
		row.WithS = least(row.WithS, time.Since(start))
	}
	row.Bytes = float64(table.Memory())
	most := 0
	for _, m := range members {
		most = max(most, len(table.Owned(m.Name)))
		if n > 1000 { // the bound says it as well, and Owned looks at all partitions
			most = table.Capacity(m.Name)
			break
		}
	}
	row.Peak = float64(most) * float64(n) / float64(partitions)
	return row, nil
}
