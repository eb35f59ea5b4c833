// Ages in words. They count on while the server does not answer.

const oldAfter = 60_000; // milliseconds without data after which an age stands out

// ageText is a span of milliseconds in one or two units.
export function ageText(milliseconds) {
  const s = Math.max(0, Math.floor(milliseconds / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86_400)} d ${Math.floor((s % 86_400) / 3600)} h`;
}

// ageTone is "old" for an age that stands out; one that is not known does not.
export function ageTone(milliseconds) {
  return milliseconds >= oldAfter ? "old" : "";
}
