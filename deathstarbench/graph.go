package deathstarbench

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// Graph is an undirected social graph: both ends of an edge follow each other.
type Graph struct {
	Nodes int
	Edges [][2]int32 // pairs of nodes, counted from 0; no pair twice, none with itself
}

// maxNodes bounds a graph file: no id can make a reader allocate without end.
const maxNodes = 10_000_000

// ReadGraphFile reads an .edges file.
func ReadGraphFile(path string) (*Graph, error) {
	f, err := os.Open(path)
	if err != nil {
		var e *fs.PathError
		if errors.As(err, &e) {
			err = e.Err
		}
		return nil, fmt.Errorf("read graph %s: %w", path, err)
	}
	defer f.Close()
	return ReadGraph(f, path)
}

// ReadGraph reads edges: one pair of node ids per line, apart by blanks or a comma. The first line may be the number of
// nodes alone; lines that begin with # or % and empty ones are skipped. Ids count from 0, or from 1 when
// 0 does not occur. The same edge twice, in either direction, counts once. The name is for errors.
func ReadGraph(r io.Reader, name string) (*Graph, error) {
	g := &Graph{}
	declared, lowest, highest, number, highestLine := 0, maxNodes, -1, 0, 0
	seen := map[[2]int32]bool{}
	first := true
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		number++
		line := strings.TrimSpace(strings.TrimPrefix(lines.Text(), "\ufeff"))
		if line == "" || line[0] == '#' || line[0] == '%' {
			continue
		}
		fields := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' || r == ',' })
		ids := make([]int, len(fields))
		for i, f := range fields {
			n, err := strconv.Atoi(f)
			if err != nil || n < 0 || n > maxNodes {
				return nil, fmt.Errorf("read graph %s:%d: %q: want a whole number from 0 to %d", name, number, f,
					maxNodes)
			}
			ids[i] = n
		}
		if len(ids) == 1 && first {
			declared, first = ids[0], false
			if declared == 0 {
				return nil, fmt.Errorf("read graph %s:%d: 0 nodes: want at least 1", name, number)
			}
			continue
		}
		first = false
		if len(ids) != 2 {
			return nil, fmt.Errorf("read graph %s:%d: %q: want two node ids", name, number, line)
		}
		a, b := min(ids[0], ids[1]), max(ids[0], ids[1])
		if a == b {
			return nil, fmt.Errorf("read graph %s:%d: node %d follows itself", name, number, a)
		}
		lowest = min(lowest, a)
		if b > highest {
			highest, highestLine = b, number
		}
		edge := [2]int32{int32(a), int32(b)}
		if !seen[edge] {
			seen[edge] = true
			g.Edges = append(g.Edges, edge)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read graph %s:%d: %w", name, number+1, err)
	}
	if len(g.Edges) == 0 && declared == 0 {
		return nil, fmt.Errorf("read graph %s: no edges", name)
	}
	base := min(lowest, 1)
	g.Nodes = highest - base + 1
	if declared > 0 {
		if g.Nodes > declared {
			return nil, fmt.Errorf("read graph %s:%d: node %d: the first line says %d nodes", name, highestLine,
				highest, declared)
		}
		g.Nodes = declared
	}
	for i := range g.Edges {
		g.Edges[i][0] -= int32(base)
		g.Edges[i][1] -= int32(base)
	}
	return g, nil
}

// WriteTo writes the graph in the form that ReadGraph reads, the number of nodes first.
func (g *Graph) WriteTo(w io.Writer) (int64, error) {
	b := strconv.AppendInt(nil, int64(g.Nodes), 10)
	b = append(b, '\n')
	var written int64
	for _, e := range g.Edges {
		b = strconv.AppendInt(b, int64(e[0]), 10)
		b = append(b, ' ')
		b = strconv.AppendInt(b, int64(e[1]), 10)
		b = append(b, '\n')
		if len(b) > 1<<16 {
			n, err := w.Write(b)
			written += int64(n)
			if err != nil {
				return written, err
			}
			b = b[:0]
		}
	}
	n, err := w.Write(b)
	return written + int64(n), err
}

// Degrees returns the number of edges of every node.
func (g *Graph) Degrees() []int {
	d := make([]int, g.Nodes)
	for _, e := range g.Edges {
		d[e[0]]++
		d[e[1]]++
	}
	return d
}
