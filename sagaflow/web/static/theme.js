// Before anything is painted: the colours that were chosen here the last time.
{
  const chosen = localStorage.getItem("sagaflow-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
}
