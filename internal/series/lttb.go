package series

import (
	"math"
	"slices"
	"time"
)

// Point is a number at a time, as a plot shows it.
type Point struct {
	Time  time.Time
	Value float64
}

// LTTB returns the places, ascending, of n of the points that look most like all
// of them in a plot: by largest triangle, three buckets (Sveinn Steinarsson,
// Downsampling Time Series for Visual Representation, 2013). Points are in
// ascending order of time. First, last, least and greatest are always among them
// if n is 4 or more.
func LTTB(points []Point, n int) []int {
	if len(points) <= n {
		all := make([]int, len(points))
		for i := range all {
			all[i] = i
		}
		return all
	}
	if n < 3 {
		return []int{0, len(points) - 1}[:max(n, 0)]
	}
	chosen := make([]int, 0, n)
	chosen = append(chosen, 0)
	every := float64(len(points)-2) / float64(n-2)
	for i := range n - 2 {
		begin, end := int(float64(i)*every)+1, int(float64(i+1)*every)+1
		next := min(int(float64(i+2)*every)+1, len(points))
		if i == n-3 {
			next = len(points)
		}
		chosen = append(chosen, largestTriangle(points, chosen[i], begin, end, next))
	}
	chosen = append(chosen, len(points)-1)
	if n >= 4 {
		keepExtremes(points, chosen)
	}
	return chosen
}

// largestTriangle returns the point of [begin, end) that makes the largest
// triangle with the point before and the mean of [end, next).
func largestTriangle(points []Point, before, begin, end, next int) int {
	at := func(i int) float64 { return points[i].Time.Sub(points[before].Time).Seconds() }
	var meanTime, meanValue float64
	for i := end; i < next; i++ {
		meanTime += at(i)
		// Halved, and divided first: values may be near the greatest double.
		meanValue += points[i].Value / float64(next-end) / 2
	}
	meanTime /= float64(next - end)
	base := points[before].Value / 2
	best, bestArea := begin, -1.0
	for i := begin; i < end; i++ {
		area := math.Abs(meanTime*(points[i].Value/2-base) - at(i)*(meanValue-base))
		if area > bestArea {
			best, bestArea = i, area
		}
	}
	return best
}

// keepExtremes puts the least and the greatest point in the places of the
// nearest that were chosen.
func keepExtremes(points []Point, chosen []int) {
	least, greatest := 0, 0
	for i, p := range points {
		if p.Value < points[least].Value {
			least = i
		}
		if p.Value > points[greatest].Value {
			greatest = i
		}
	}
	kept := []int{0, len(points) - 1}
	for _, extreme := range []int{least, greatest} {
		if slices.Contains(chosen, extreme) {
			kept = append(kept, extreme)
			continue
		}
		nearest := -1
		for i, c := range chosen {
			if slices.Contains(kept, c) || c == greatest {
				continue
			}
			if nearest < 0 || distance(c, extreme) < distance(chosen[nearest], extreme) {
				nearest = i
			}
		}
		chosen[nearest] = extreme
		kept = append(kept, extreme)
		slices.Sort(chosen)
	}
}

func distance(a, b int) int { return max(a-b, b-a) }
