// What is wrong with how a page looks, as four lists; the tests want them empty.
() => {
  const all = [...document.querySelectorAll("body *")].filter((e) => e.getClientRects().length);
  const name = (e) => `${e.tagName}#${e.id} ${e.textContent.trim().slice(0, 40)}`;
  const paper = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (color, under) => {
    for (const layer of [`rgb(${under})`, color]) {
      paper.fillStyle = layer;
      paper.fillRect(0, 0, 1, 1);
    }
    return [...paper.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const behind = (e) =>
    rgb(getComputedStyle(e).backgroundColor, e.parentElement ? behind(e.parentElement) : [255, 255, 255]);
  const light = (parts) => {
    const [r, g, b] = parts
      .map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  // WCAG AA: 4.5 to 1, and 3 to 1 for large text
  const isPale = (e) => {
    if (![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) return false;
    if (e.disabled || e.closest("option, script, noscript, .skip")) return false;
    const style = getComputedStyle(e);
    const ground = behind(e.closest("svg") ? e.closest("svg").parentElement : e);
    const ink = rgb(e.closest("svg") ? style.fill : style.color, ground);
    const [dark, bright] = [light(ink), light(ground)].sort((a, b) => a - b);
    const size = parseFloat(style.fontSize);
    const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    return (bright + 0.05) / (dark + 0.05) < (isLarge ? 3 : 4.5);
  };
  const isOutside = (e) => {
    const box = e.getBoundingClientRect();
    if (!box.width || e.closest(".skip") || e.parentElement.closest(".scroll")) return false;
    const spills = e.clientWidth && e.scrollWidth > e.clientWidth + 1 && !e.matches("select, input, .scroll");
    return spills || box.right > innerWidth + 1 || box.left < -1;
  };
  const isUnnamed = (e) => {
    if (!e.matches("button, select, input, svg, [role=region]")) return false;
    const other = document.getElementById(e.getAttribute("aria-labelledby"));
    const label = e.ariaLabel || (other || (e.labels && e.labels[0]) || (e.matches("button") ? e : {})).textContent;
    return !(label || "").trim();
  };
  return {
    outside: all.filter(isOutside).map(name),
    scrolled: all.filter((e) => e.matches(".scroll") && e.scrollWidth > e.clientWidth + 1).map(name),
    pale: all.filter(isPale).map(name),
    unnamed: all.filter(isUnnamed).map(name),
  };
}
