const SEEN_MS = 1000;
const SEEN_SHARE = 0.5;

/** Call `seen` once when at least half of an element has been in view for a second, unless aborted before. */
export function whenSeen(element: Element, seen: () => void, signal: AbortSignal): void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const observer = new IntersectionObserver(
    (entries) => {
      clearTimeout(timer);
      if (entries.at(-1)!.intersectionRatio >= SEEN_SHARE) timer = setTimeout(elapsed, SEEN_MS);
    },
    { threshold: SEEN_SHARE },
  );
  const stop = () => {
    clearTimeout(timer);
    observer.disconnect();
  };
  const elapsed = () => {
    stop();
    if (document.hidden) observer.observe(element); // a hidden tab shows nothing: start again once it is visible
    else seen();
  };
  observer.observe(element);
  signal.addEventListener("abort", stop);
}
