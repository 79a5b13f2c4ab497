// What a SIM may send, and when: a clerk sets limits and sees them used up, stops a
// SIM and a class, writes a route, asks for the balance and tests a line. page is
// signed in as an administrator, sim a SIM's path.
import assert from 'node:assert/strict';
import { accessible, bigEnough, fits } from './eyes.mjs';

export async function pool(page, { at, now, sim }) {
  const button = (label) => page.getByRole('button', { name: label });
  const looked = async (where) => {
    for (const width of [320, 360, 1280]) {
      await page.setViewportSize({ width, height: 900 });
      await fits(page, where);
    }
    await accessible(page, where);
  };

  now('limits of a SIM: a mistake is told, then they hold and are shown as bars');
  await page.goto(at(sim));
  await page.getByText('Cambiar los límites').click();
  await page.getByLabel('Cada día: SMS').fill('muchos');
  await button('Guardar los límites').click();
  await page.getByRole('alert').getByText('escriba números enteros').waitFor();
  assert.equal(await page.getByLabel('Cada día: SMS').inputValue(), 'muchos', 'what was typed is kept');
  await looked('limits that are refused');
  await page.getByLabel('Cada día: SMS').fill('50');
  await page.getByLabel('Cada mes de contrato: Personas distintas').fill('30');
  await page.getByLabel('Día en que empieza el mes').fill('15');
  await button('Guardar los límites').click();
  await page.getByText('Límites guardados.').waitFor();
  await page.locator('#limits').getByText(/de 50 SMS hoy; los envíos generales paran en 40/).waitFor();
  assert.ok(await page.locator('#limits svg.meter').count() >= 2);

  now('the balance, and an alarm for little of it');
  await button('Preguntar el saldo').click();
  await page.locator('#credit .ussd-answer').getByText('12,34 €').waitFor();
  await page.getByText('Cambiar el aviso de poco saldo').click();
  await page.getByLabel('Avisar por debajo de').fill('20');
  await page.locator('#credit-edit').getByRole('button', { name: 'Guardar' }).click();
  await page.locator('.tight').getByText('Queda poco saldo (12,34 €)').waitFor();
  await looked('a SIM with little credit');
  await page.goto(at('/'));
  await page.locator('.line .tight').getByText('Recárguela antes de que se acabe.').waitFor();
  await page.goto(at(sim));
  await page.getByText('Cambiar el aviso de poco saldo').click();
  await page.getByLabel('Avisar por debajo de').fill('');
  await page.locator('#credit-edit').getByRole('button', { name: 'Guardar' }).click();
  await page.getByText('Cambios guardados.').waitFor();

  now('a line is tested: there and back');
  await button('Probar ahora').click();
  await page.getByText('Prueba en marcha').waitFor();
  await page.waitForFunction(async (path) => {
    const html = await (await fetch(path)).text();
    return (html.match(/Llegó; aceptado a los/g) ?? []).length >= 2;
  }, sim, { polling: 500 });

  now('a SIM and a class are stopped from the start page, and it says by whom');
  await page.goto(at('/'));
  await page.getByText('Parar solo una SIM o una clase').click();
  await looked('the kill switches');
  await button('Parar Envío general').click();
  await page.locator('#banners').getByText('La clase «Envío general» está parada.').waitFor();
  assert.match(await page.locator('#banners').innerText(), /Lo hizo ana \(\d\d:\d\d\)/);
  await page.goto(at(sim));
  await button('Parar esta SIM').click();
  await page.locator('#banners').getByText(/La SIM .* está parada\./).waitFor();
  await accessible(page, 'a SIM that is stopped');
  await page.goto(at('/write'));
  await page.getByLabel('Para', { exact: true }).fill('655111200');
  await page.getByLabel('Texto', { exact: true }).fill('Corte de agua.');
  await page.locator('input[type=radio][value=bulk]').check();
  await page.locator('.forecast').getByText('Esta clase está parada.').waitFor();
  await accessible(page, 'a message that will wait');
  await page.getByLabel('Texto', { exact: true }).fill('');
  await page.getByLabel('Para', { exact: true }).fill('');
  await page.goto(at('/lines'));
  for (let left = 2; left > 0; left--) {
    await page.locator('#banners').getByRole('button', { name: 'Reanudar' }).first().click();
    await page.getByText('Los envíos siguen').or(page.locator('.notice')).first().waitFor();
  }
  assert.equal(await page.locator('#banners .warn', { hasText: 'parada' }).count(), 0);

  now('a route, its order, and quiet hours');
  await page.goto(at('/lines'));
  await page.getByRole('link', { name: /Qué SIM envía, y cuándo/ }).click();
  for (const [name, prefix] of [['Portugal', '+351'], ['Francia', '+33']]) {
    await page.getByRole('link', { name: 'Añadir una ruta' }).click();
    await page.getByLabel('Nombre').fill(name);
    await page.getByLabel('Números que empiezan por').fill(prefix);
    if (name === 'Portugal') {
      await button('Guardar la ruta').click();
      await page.getByRole('alert').getByText('Marque al menos una SIM').waitFor();
      await looked('a route that is refused');
    }
    await page.locator('.weights input[type=checkbox]').first().check();
    await button('Guardar la ruta').click();
    await page.getByText('Rutas guardadas.').waitFor();
  }
  await button('Subir Francia').click();
  await page.locator('.routes li').first().getByRole('link', { name: 'Francia' }).waitFor();
  await page.getByText('Cambiar las horas de descanso').click();
  await page.locator('#q-days').fill('Navidad');
  await page.locator('#quiet-edit').getByRole('button', { name: 'Guardar' }).click();
  await page.getByRole('alert').getByText('Un festivo se escribe como').waitFor();
  await looked('quiet hours that are refused');
  await bigEnough(page, 'the rules');
  await page.goto(at('/rules'));
  await looked('the rules');
  await page.getByRole('link', { name: 'Francia', exact: true }).click();
  await page.getByText('Borrar esta ruta').click();
  await button('Borrarla').click();
  await page.getByText('Ruta borrada.').waitFor();
  const route = new URL(await page.getByRole('link', { name: 'Portugal', exact: true }).getAttribute('href'), at('/')).pathname;

  now('two have a form open: the second to save is told');
  await page.goto(at(route));
  const other = await page.context().newPage();
  await other.goto(at(route));
  await other.getByLabel('Nombre').fill('Portugal y Brasil');
  await other.getByRole('button', { name: 'Guardar la ruta' }).click();
  await other.getByText('Rutas guardadas.').waitFor();
  await other.close();
  await page.getByLabel('Nombre').fill('Lusofonía');
  await button('Guardar la ruta').click();
  await page.getByRole('alert').getByText('Alguien ha cambiado esto').waitFor();
  assert.equal(await page.getByLabel('Nombre').inputValue(), 'Portugal y Brasil', 'what holds is shown');
  await looked('a form that was overtaken');

  now('a code of one\'s own for the balance, tried before it is kept');
  await page.goto(at(sim));
  await page.getByRole('link', { name: 'Usar otro código' }).click();
  const own = page.locator('#rule');
  assert.equal(await own.getByLabel('Una respuesta de la red').inputValue(), 'Su saldo es 12,34 EUR.');
  await button('Probarlo').click();
  await page.getByText('El saldo sería 12,34 €.').waitFor();
  await looked('an answer that was tried');
  await own.getByLabel('Las de una red').check();
  await own.getByLabel('Una parte del nombre').waitFor({ state: 'hidden' });
  await own.getByLabel('País y red').fill('móvil');
  await page.keyboard.press('Enter'); // saves, though another button comes first
  await page.getByRole('alert').getByText('La red son cinco o seis cifras').waitFor();
  await looked('a code that is refused');
  await own.getByLabel('País y red').fill('20801');
  await button('Guardar el código').click();
  await page.getByText('Cambios guardados.').waitFor();
  await page.locator('#own .row-to').getByText('red 20801').waitFor();
  await bigEnough(page, 'the codes for the balance');
  await button('Quitar red 20801').click();
  await page.locator('#own').getByText('No hay ninguno').waitFor();
  await page.goto(at(sim));
  await page.getByText('Cambiar los límites').click();
  await button('Volver a los límites habituales').click();
  await page.getByText('Límites guardados.').waitFor();
  await page.setViewportSize({ width: 1280, height: 900 });
  return route;
}
